"""Takes questions to the store together: under load a thread hop costs more than what is asked."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from satchel.gateway.store.database import Store

_MAX_QUESTIONS = 64

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batches(Generic[Question, Answer]):
    """One hop at a time. What is asked in one turn of the event loop, or while a hop is under way, goes together in
    the next one; a question alone goes at once.

    `function` answers questions in their order; what it raises, all who asked in that hop get.
    """

    def __init__(self, store: Store, function: Callable[[sa.Engine, Sequence[Question]], Sequence[Answer]]) -> None:
        self._store = store
        self._function = function
        self._asked: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._hopping: asyncio.Task[None] | None = None

    async def ask(self, question: Question) -> Answer:
        """The answer to a question, after at most one hop of others."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asked.append((question, answer))
        if self._hopping is None or self._hopping.done():
            # Its own task, because the one who asked may go away and the others still wait.
            self._hopping = asyncio.create_task(self._hop())
        return await answer

    async def _hop(self) -> None:
        while self._asked:
            batch, self._asked = self._asked[:_MAX_QUESTIONS], self._asked[_MAX_QUESTIONS:]
            try:
                answers = await self._store.call(self._function, [question for question, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
