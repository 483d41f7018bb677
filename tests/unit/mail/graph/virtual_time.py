"""An event loop whose time passes only while nothing else is left: waiting costs nothing, order stays as it is."""

import asyncio
import selectors


class _Selector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        # Without a timer what is waited for comes from a thread.
        events = super().select(None if timeout is None else 0)
        if not events and timeout is not None and timeout > 0:
            self.now += timeout
        return events


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # Threads keep real time: a limit in this loop's would be over at once. (The parameter came with Python 3.12.)
        await super().shutdown_default_executor()
