"""Microsoft Graph as a mail source: the only code that knows it."""
