"""TLS by certificate files in the server itself, which takes up renewed files while it runs."""

import asyncio
import contextlib
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from satchel.settings import SettingsError

LOOK_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Certificate:
    """A certificate with its key, as it is in two PEM files now; `context` is what a listener takes.

    Connections that come after a renewal get the new pair. A new pair that cannot be used is logged, and the old one
    stays. TLS 1.2 is the oldest that is spoken.
    """

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        """Raises SettingsError for a file that is missing, cannot be read or does not belong to the other."""
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._seen = self._stamps()
        self._current = self._load()
        self.context = _empty_context()
        # Each handshake takes the context of its time. To load anew into one and the same would leave the old pair in
        # it where the new one has another kind of key, and half a pair where it is broken.
        self.context.sni_callback = self._hand_over

    def _hand_over(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._current

    def _load(self) -> ssl.SSLContext:
        for name, path in (("certificate_file", self._certificate_file), ("key_file", self._key_file)):
            try:
                with path.open("rb") as file:
                    file.read(1)
            except OSError as error:
                raise SettingsError(f"tls.{name}: {path} cannot be read: {error.strerror}.") from None
        context = _empty_context()
        try:
            # Without a password the system would ask for one at the terminal.
            context.load_cert_chain(self._certificate_file, self._key_file, password="")
        except (ssl.SSLError, OSError, ValueError) as error:
            raise SettingsError(
                f"tls.certificate_file, tls.key_file: {self._certificate_file} and {self._key_file} cannot be used "
                f"({_reason(error)}). Both are PEM files; the key is the certificate's own and has no passphrase."
            ) from None
        return context

    def renew(self) -> None:
        """Take up the files as they are now; a pair that cannot be used is logged and looked at again when changed."""
        stamps = self._stamps()
        try:
            self._current = self._load()
        except SettingsError:
            log.warning("certificate_not_renewed", advice="The certificate before stays. Check tls.certificate_file.")
        else:
            log.info("certificate_renewed")
        # Of before the reading: what is written meanwhile is read again.
        self._seen = stamps

    def look(self) -> None:
        """Renew if one of the files has changed."""
        if self._stamps() != self._seen:
            self.renew()

    def _stamps(self) -> tuple[object, ...]:
        return tuple(_stamp(path) for path in (self._certificate_file, self._key_file))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Within the block, look at the files every minute, and read them at once on SIGHUP."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, self.renew)
        looking = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            looking.cancel()
            await asyncio.wait({looking})

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()


def _empty_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _stamp(path: Path) -> object:
    with contextlib.suppress(OSError):
        status = path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino
    return None


def _reason(error: Exception) -> str:
    """OpenSSL's own word, such as KEY_VALUES_MISMATCH; its whole message names our source files."""
    return (error.reason if isinstance(error, ssl.SSLError) else None) or "no certificate or key in it"
