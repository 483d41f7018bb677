"""A gateway that is far away: a TCP relay on loopback that holds back what passes by a fixed time each way."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager

from bench.harness import wait_for
from satchel.testing.stack import Stack, free_port

PIECE = 256 * 1024


async def _one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_seconds: float) -> None:
    """Pass bytes on after the delay, in order, without limiting how many are on their way."""
    loop = asyncio.get_running_loop()
    on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)

    async def deliver() -> None:
        while True:
            due, piece = await on_the_way.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    try:
        while piece := await reader.read(PIECE):
            await on_the_way.put((loop.time() + delay_seconds, piece))
    except OSError:
        pass
    await on_the_way.put((loop.time() + delay_seconds, b""))
    await asyncio.gather(delivery, return_exceptions=True)


async def _relay(port: int, target: int, delay_seconds: float) -> None:
    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A TCP connection costs a round trip of its own before the first byte can go.
        await asyncio.sleep(2 * delay_seconds)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target, limit=PIECE)
        await asyncio.gather(_one_way(reader, far_writer, delay_seconds), _one_way(far_reader, writer, delay_seconds))

    server = await asyncio.start_server(connection, "127.0.0.1", port, limit=PIECE)
    await server.serve_forever()


def _run(port: int, target: int, delay_seconds: float) -> None:
    asyncio.run(_relay(port, target, delay_seconds))


@contextmanager
def delayed(stack: Stack, delay_seconds: float) -> Iterator[str]:
    """The gateway's URL, as far away as asked; the stack's collector uses it too."""
    if delay_seconds == 0:
        yield stack.gateway_url
        return
    port = free_port()
    relay = multiprocessing.get_context("spawn").Process(target=_run, args=(port, stack.gateway_port, delay_seconds))
    relay.start()
    try:
        wait_for(port)
        url = f"http://127.0.0.1:{port}"
        stack.configure(collector={"gateway_url": url})
        yield url
    finally:
        relay.terminate()
        relay.join()
