"""Turns mutable ids (`AAMk…`) into immutable ones, many of a mailbox in one call (Graph: translateExchangeIds)."""

import asyncio
from typing import Any

import msgspec

from satchel.mail.graph.errors import GraphRefusal, is_gone
from satchel.mail.graph.http import GraphHttp
from satchel.mail.graph.ids import is_graph_id, user_path

# The most that one call takes.
_MOST_AT_ONCE = 1000


class _Translated(msgspec.Struct, frozen=True, rename="camel"):
    source_id: Any = None
    target_id: Any = None


class _Answer(msgspec.Struct, frozen=True):
    value: list[_Translated]


class Translations:
    """Ids that are asked for while a call about their mailbox is under way go together into the next one."""

    def __init__(self, http: GraphHttp) -> None:
        self._http = http
        self._waiting: dict[str, dict[str, asyncio.Future[str | None]]] = {}
        self._working: set[asyncio.Task[None]] = set()

    async def immutable(self, mailbox: str, graph_id: str) -> str | None:
        """The immutable id; None for what is no id of this mailbox, or is immutable already. Raises
        `SourceUnavailable`, `GraphRefusal`."""
        if mailbox not in self._waiting:
            self._waiting[mailbox] = {}
            task = asyncio.create_task(self._work(mailbox))
            self._working.add(task)
            task.add_done_callback(self._working.discard)
        asked = self._waiting[mailbox]
        if graph_id not in asked:
            asked[graph_id] = asyncio.get_running_loop().create_future()
        # Others may wait for the same.
        return await asyncio.shield(asked[graph_id])

    async def aclose(self) -> None:
        for task in list(self._working):
            task.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)
        # A task that never began has not told those who wait for it.
        for asked in self._waiting.values():
            for future in asked.values():
                future.cancel()
        self._waiting.clear()

    async def _work(self, mailbox: str) -> None:
        under_way: dict[str, asyncio.Future[str | None]] = {}
        try:
            while asked := self._waiting[mailbox]:
                under_way = dict(list(asked.items())[:_MOST_AT_ONCE])
                for graph_id in under_way:
                    del asked[graph_id]
                await self._answer(mailbox, under_way)
        finally:
            for future in [*under_way.values(), *self._waiting.pop(mailbox).values()]:
                future.cancel()

    async def _answer(self, mailbox: str, asked: dict[str, asyncio.Future[str | None]]) -> None:
        try:
            found = await self._translate(mailbox, list(asked))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is for those who asked
            for future in asked.values():
                future.set_exception(error)
                # Whoever asked may have gone away.
                future.exception()
            return
        for graph_id, future in asked.items():
            future.set_result(found.get(graph_id))

    async def _translate(self, mailbox: str, graph_ids: list[str]) -> dict[str, str]:
        body = {"inputIds": graph_ids, "sourceIdType": "restId", "targetIdType": "restImmutableEntryId"}
        path = f"{user_path(mailbox)}/translateExchangeIds"
        try:
            answer = await self._http.post(path, body, mailbox=mailbox, as_=_Answer, repeatable=True)
        except GraphRefusal as refusal:
            # One id that is none may spoil the call for all: then each is asked by itself.
            if refusal.status != 400 and not is_gone(refusal):
                raise
            if len(graph_ids) == 1:
                return {}
            apart = [await self._translate(mailbox, [each]) for each in graph_ids]
            return {source: target for each in apart for source, target in each.items()}
        return {
            each.source_id: each.target_id
            for each in answer.value
            if isinstance(each.source_id, str) and isinstance(each.target_id, str) and is_graph_id(each.target_id)
        }
