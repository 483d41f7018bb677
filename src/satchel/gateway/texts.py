"""The text of messages, for webhooks that are given it: asked of the mail source each time, and stored nowhere."""

from collections.abc import Mapping

from satchel.mail.source import MailSource, MessageRef, SourceUnavailable


class MessageTexts:
    """Knows which source to ask; `sources` by account id."""

    def __init__(self, sources: Mapping[str, MailSource]) -> None:
        self._sources = sources

    async def text(self, account_id: str, message: MessageRef, max_characters: int) -> str | None:
        """The beginning of a message's text, None where it has none.

        Raises SourceError, transient where trying again may help: also for an account without a source in the
        settings.
        """
        source = self._sources.get(account_id)
        if source is None:
            raise SourceUnavailable("The account has no mail source in the settings.")
        return await source.text(message, max_characters)
