"""The references' server: bare aiohttp and orjson. It reads a command and answers it, and that is all it does."""

from __future__ import annotations

import asyncio
import sys

import orjson
from aiohttp import WSMsgType, web

from benchmarks.sides.serving import raise_limits

EVENT = {"t": "ev", "ts": 1.0, "kind": "agent.message", "data": {"text": "what one misses while nobody is connected"}}


async def answer(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            plain = orjson.loads(message.data)
            if "events" in plain:  # the storm: so many frames, each encoded anew
                for seq in range(1, plain["events"] + 1):
                    await socket.send_frame(orjson.dumps({**EVENT, "seq": seq}), WSMsgType.TEXT)
            else:
                await socket.send_frame(orjson.dumps({"t": "res", "c": plain["c"], "ok": True}), WSMsgType.TEXT)
    return socket


async def main() -> None:
    raise_limits()
    app = web.Application()
    app.add_routes([web.get("/v1/ws", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    if "uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    asyncio.run(main())
