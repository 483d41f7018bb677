"""Satchel: attachments from shared mailboxes, listed and streamed by a gateway, filed by a collector."""

__version__ = "0.1.0"
