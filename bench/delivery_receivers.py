"""`python -m bench.delivery_receivers PORT SECONDS`: webhook receivers of any path that take so long for each answer.

GET tells how many POSTs there were, and the seconds from the first to the last answer.
"""

import asyncio
import sys
import time

import uvloop
from aiohttp import web

_SUCCESS = b'{"status": "success", "message": ""}'


class Receivers:
    """Counts by path; what it counts is the answers."""

    def __init__(self, answer_seconds: float) -> None:
        self._answer_seconds = answer_seconds
        self._posts: dict[str, int] = {}
        self._first = self._last = 0.0

    async def take(self, request: web.Request) -> web.Response:
        await request.read()
        self._first = self._first or time.perf_counter()
        if self._answer_seconds:
            await asyncio.sleep(self._answer_seconds)
        self._posts[request.path] = self._posts.get(request.path, 0) + 1
        self._last = time.perf_counter()
        return web.Response(body=_SUCCESS, content_type="application/json")

    async def tell(self, _request: web.Request) -> web.Response:
        return web.json_response({"posts": self._posts, "seconds": self._last - self._first})


async def serve(port: int, answer_seconds: float) -> None:
    receivers = Receivers(answer_seconds)
    application = web.Application()
    application.router.add_post("/{name}", receivers.take)
    application.router.add_get("/", receivers.tell)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
