"""`python -m bench.delivery_loop FILE`: posts the bodies of a file, one after the other to each lane, and forgets them.

A line of the file is a JSON array: lane, URL, body. The plain loop that somebody would write first, without durability,
order over failures, retries, signatures or history.
"""

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path

import aiohttp
import uvloop


async def post_all(file: Path) -> None:
    lanes: defaultdict[str, list[tuple[str, bytes]]] = defaultdict(list)
    for line in file.read_text("utf-8").splitlines():
        lane, url, body = json.loads(line)
        lanes[lane].append((url, body.encode()))

    async with aiohttp.ClientSession(headers={"Content-Type": "application/json"}) as session:

        async def post_in_order(bodies: list[tuple[str, bytes]]) -> None:
            for url, body in bodies:
                async with session.post(url, data=body) as answer:
                    if (await answer.json())["status"] != "success":
                        raise SystemExit("a receiver did not answer with success")

        await asyncio.gather(*map(post_in_order, lanes.values()))


if __name__ == "__main__":
    uvloop.run(post_all(Path(sys.argv[1])))
