"""Connections that mean no good, in a process of their own: `python -m tests.server.junk URL COUNT`.

They say nothing, half a request, nonsense, or a bad first frame. What they were told is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from contextlib import suppress
from typing import Final

from tests.server.raw import dialled, frame, text

AT_ONCE: Final = 64


async def junk_frame(url: str, source: random.Random) -> int:
    async with dialled(url) as peer:
        peer.write(source.choice([frame(b"\xff\xfe"), frame(text(t="cmd", c=1, name="x")), source.randbytes(64)]))
        return await peer.close_code()


async def junk_request(url: str, source: random.Random) -> str:
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(source.choice([b"", b"GET /v1/ws HT", source.randbytes(200), b"\x16\x03\x01\x02\x00"]))
        async with asyncio.timeout(source.choice([0.01, 0.5])):
            return (await reader.read(12)).decode(errors="replace") or "closed"
    finally:
        writer.transport.abort()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def junk(url: str, count: int) -> dict[str, int]:
    """How often each answer came."""
    told: dict[str, int] = {}
    gate = asyncio.Semaphore(AT_ONCE)
    source = random.Random(1)

    async def one(number: int) -> None:
        async with gate:
            try:
                code = str(await (junk_frame if number % 2 else junk_request)(url, source))
            except (ConnectionError, TimeoutError) as error:
                code = type(error).__name__
        told[code] = told.get(code, 0) + 1

    await asyncio.gather(*(one(number) for number in range(count)))
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(junk(sys.argv[1], int(sys.argv[2])))))
