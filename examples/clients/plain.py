"""A whole client on a plain WebSocket library: it survives lost connections and a `kill -9` of the server with nothing
lost and nothing doubled. docs/protocol.md says why.

    pip install websockets
    python examples/clients/plain.py ws://127.0.0.1:8080/v1/ws "$(cat .steward/key)" e2e4 d2d4

plays these moves as white against an agent, prints every event of the session once, and ends it.
"""

import asyncio
import json
import random
import secrets
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake


class Client:
    def __init__(self, url: str, key: str, create: dict[str, Any]) -> None:
        self.url, self.c = url, 0  # c: the last command made
        self.hello: dict[str, Any] = {"t": "hello", "n": 0, "auth": key, "create": create}
        self.hello |= {"token": secrets.token_urlsafe(32), "cid": secrets.token_urlsafe(9)}
        self.unanswered: dict[int, str] = {}
        self.socket: ClientConnection

    async def command(self, name: str, **args: Any) -> None:
        self.c += 1
        self.unanswered[self.c] = json.dumps({"t": "cmd", "c": self.c, "name": name, "args": args})
        with suppress(ConnectionClosed):  # it is sent again after the next welcome
            await self.socket.send(self.unanswered[self.c])

    async def events(self) -> AsyncGenerator[dict[str, Any], None]:
        """Every event once and in order, over as many connections as it takes."""
        tries, epoch, last = 0, "", 0
        while True:
            wait_s, tries = random.uniform(0, min(5, 2**tries)), min(tries + 1, 9)
            self.hello["n"] += 1
            try:
                async with connect(self.url, open_timeout=3, ping_interval=10) as self.socket:
                    await self.socket.send(json.dumps(self.hello))
                    while True:
                        frame = json.loads(await self.socket.recv())
                        if frame["t"] == "welcome":
                            tries, epoch = 0, frame["epoch"]
                            for text in self.unanswered.values():
                                await self.socket.send(text)
                        elif frame["t"] == "ev" and frame["seq"] > last + 1:
                            break  # a hole: dial again, the log has what is missing
                        elif frame["t"] == "snap" or (frame["t"] == "ev" and frame["seq"] > last):
                            last = frame["seq"]
                            # Together, or a number of one log is mistaken for another's.
                            self.hello["cur"] = {"epoch": epoch, "seq": last}
                            yield frame
                        elif frame["t"] == "res" and "retry_ms" in frame.get("err", {}):
                            wait_s = frame["err"]["retry_ms"] / 1000  # nothing was decided: it is sent again then
                            break
                        elif frame["t"] == "res":
                            self.unanswered.pop(frame["c"], None)
                        elif frame["t"] in ("error", "goaway"):
                            wait_s = frame.get("slot_ms", frame.get("retry_ms", wait_s * 1000)) / 1000
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code // 100 in (43, 44, 45):
                    sys.exit(f"{closed.rcvd.code} {closed.rcvd.reason}")
            except (OSError, InvalidHandshake, TimeoutError) as error:
                print(f"not connected: {error}", file=sys.stderr)
            await asyncio.sleep(wait_s)


async def play(url: str, key: str, *moves: str) -> None:
    client = Client(url, key, {"team": "chess", "options": {"white": "human", "plies": 2 * len(moves)}})
    said = iter(moves)
    async with aclosing(client.events()) as events:
        async for event in events:
            print(json.dumps(event), flush=True)
            if event["t"] == "snap":  # takes the place of all before it; a game this short is never cut
                continue
            if event["kind"] == "input.request" and (move := next(said, None)):
                await client.command("say", text=move)
            elif event["kind"] == "input.request" or "result" in event["data"]:
                await client.command("terminate")
            elif event["kind"] == "session.ended":
                return


if __name__ == "__main__":
    asyncio.run(play(*sys.argv[1:]))
