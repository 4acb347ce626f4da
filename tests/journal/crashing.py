"""A process that writes to a journal and says on stdout what was acknowledged, until it is killed.

Arguments: the file, the number of sessions, and the WAL_PAGES to work with, if not the usual.
Says "open <pid>", then "<sid> <rev> <seq>" for each acknowledged append.
"""

from __future__ import annotations

import asyncio
import os
import sys

from engine.journal import Append, Journal, schema
from engine.journal.sqlite import SqliteJournal
from tests.journal.making import creation

IN_FLIGHT = 4


def record(sid: str, rev: int) -> bytes:
    """What revision rev of a session holds, for whoever checks."""
    return b"%s record %d " % (sid.encode(), rev) * (rev % 40)


def update(sid: str, seq: int) -> bytes:
    return b"%s update %d " % (sid.encode(), seq) * (seq % 30)


async def begin(journal: Journal, sid: str) -> tuple[int, int, int]:
    """Create the session, or go on with what a killed process left of it: its fence, rev and seq."""
    if await journal.session(sid) is None:
        await journal.append(creation(sid))
    claimed = await journal.claim(sid)
    return claimed.fence, claimed.rev, claimed.seq


async def keep_writing(journal: Journal, sid: str) -> None:
    fence, rev, seq = await begin(journal, sid)
    while True:
        asked = []
        for _ in range(IN_FLIGHT):
            rev += 1
            updates = tuple(update(sid, seq + n) for n in range(1, rev % 3 + 1))
            seq += len(updates)
            asked.append((rev, seq, journal.append(Append(sid, fence, rev, record(sid, rev), updates))))
        for asked_rev, asked_seq, append in asked:
            await append
            os.write(1, f"{sid} {asked_rev} {asked_seq}\n".encode())


async def main(path: str, sessions: int) -> None:
    journal = SqliteJournal(path)
    await journal.open()
    os.write(1, f"open {os.getpid()}\n".encode())
    await asyncio.gather(*(keep_writing(journal, f"s.{n}") for n in range(sessions)))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        schema.WAL_PAGES = int(sys.argv[3])  # type: ignore[misc]
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
