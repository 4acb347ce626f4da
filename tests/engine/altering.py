"""Exported sessions at every point of a life, and ways to alter what their files say, with checksums that fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from hashlib import sha256
from random import Random
from typing import Any

import long_handlers
from long_handlers import LONG

from engine.codec import decode, encode
from engine.journal.base import SessionRow, TokenRow
from engine.log.founding import imported
from engine.log.kept import LogLimits
from engine.log.parcel import Parcel
from engine.machine import plan_of
from engine.records import Command
from engine.session import Session
from engine.testing.rig import Rig, machines
from engine.testing.virtual import run_virtual

COMPILED = machines(LONG, long_handlers)
PLANS = {kind: plan_of(machine) for kind, machine in COMPILED.items()}
Plain = dict[str, Any]
JUNK = (
    *(None, True, False, -1, 0, 1, 2**31, 2**53, 2**63 - 1, 1.5, 1e300),
    *("", "x", "/", "/w", "a\nb", "after 1s", "restored", "session.ended", "s.aaaa", "0" * 64),
    *([], {}, [[]], [1, "x"], {"a": 1}, {"seq": 1}),
)


def right(sid: str, id_: str) -> TokenRow:
    return TokenRow(sha256(f"{sid} {id_}".encode()).digest(), sid, id_, "control")


async def life(r: Rig, *, is_ended: bool = False) -> Session:
    """With messages, an open question, outcomes, a child, something deferred, and rights."""
    session = await r.create(user="ada", token=lambda sid: right(sid, "t.0"))
    await session.add_token(right(session.sid, "t.1"))
    for n in range(3):
        await r.send(session, "say", {"text": f"number {n}"}, command=Command("c1", n + 1, "d"))
    await r.send(session, "ask", {"text": "?"})
    if is_ended:
        await r.send(session, "close")
        await r.advance(1)
    else:
        await r.manager.send(session.sid, name="work")
        await r.manager.send(session.sid, name="say", payload={"text": "later"}, command=Command("c1", 4, "d"))
    assert session.is_ended == is_ended
    return session


def cut(parcel: Parcel, count: int) -> Parcel:
    """As it was when that many records were in its log."""
    seq = parcel.ends()[count - 1]
    row = replace(parcel.row, rev=count, seq=seq, ended_at=None)
    return Parcel(row, parcel.records[:count], parcel.updates[:seq], parcel.tokens)


def brought(parcel: Parcel) -> Parcel:
    """As another server has it that took it in: one record, which says all."""
    founded = imported(parcel, PLANS, 1e9, "ab" * 6)
    return Parcel(founded.row, (founded.append.record,), founded.append.updates, founded.append.tokens)


@cache
def whole() -> tuple[Parcel, ...]:
    """A session at every point of a life, the same as others took it in, one that was trimmed and one that ended."""

    async def make() -> list[Parcel]:
        async with Rig(COMPILED) as r, Rig(COMPILED, log_limits=LogLimits(events=8)) as small:
            there = [(r, await life(r)), (small, await life(small)), (r, await life(r, is_ended=True))]
            return [await one.manager.transfer.take_out(session.sid) for one, session in there]

    live, trimmed, ended = run_virtual(make())
    assert (trimmed.row.trimmed > 0, ended.row.ended_at is not None) == (True, True)
    lives = [cut(live, count + 1) for count in range(len(live.records))]
    return (*lives, *map(brought, lives), trimmed, ended, brought(ended))


Spot = tuple[Any, Any]  # a container and a key of it


def opened(parcel: Parcel) -> Plain:
    """All that a file says, to be altered."""
    row = {name: getattr(parcel.row, name) for name in SessionRow.__slots__}
    bodies = {name: [decode(text) for text in getattr(parcel, name)] for name in ("records", "updates")}
    tokens = [{"id": one.id, "role": one.role, "digest": one.digest.hex()} for one in parcel.tokens]
    return {"row": row, **bodies, "tokens": tokens, "ends": [0, *(end - parcel.row.trimmed for end in parcel.ends())]}


def closed(plain: Plain) -> bytes:
    """The file that says this, with sums and a checksum that fit."""
    updates = [one if isinstance(one, bytes) else encode(one) for one in plain["updates"]]
    for n, record in enumerate(plain["records"]):
        told = sum(map(len, updates[plain["ends"][n] : plain["ends"][n + 1]])) if n + 1 < len(plain["ends"]) else 0
        if isinstance(record, dict) and "told" in record:
            record["told"] = told
        elif isinstance(record, dict) and isinstance(record.get("kept"), list) and record["kept"]:
            record["kept"][0] = told
    lines = [{"format": "steward-session", "version": 1, **plain["row"]}]
    lines += [{"record": encode(one).decode()} for one in plain["records"]]
    lines += [{"update": one.decode()} for one in updates]
    body = b"".join(encode(one) + b"\n" for one in [*lines, *({"token": one} for one in plain["tokens"])])
    return body + encode({"sha256": sha256(body).hexdigest()}) + b"\n"


def spots(plain: Any) -> Iterator[Spot]:
    inside = plain.items() if isinstance(plain, dict) else enumerate(plain) if isinstance(plain, list) else ()
    for key, value in inside:
        yield plain, key
        yield from spots(value)


Way = Callable[[Spot, list[Spot], Random], None]


def remove(at: Spot, spots: list[Spot], dice: Random) -> None:
    del at[0][at[1]]


def retype(at: Spot, spots: list[Spot], dice: Random) -> None:
    at[0][at[1]] = copy.deepcopy(dice.choice(JUNK))


def renumber(at: Spot, spots: list[Spot], dice: Random) -> None:
    within, key = at
    within[key] = within[key] + dice.choice((-1, 1, 1000)) if isinstance(within[key], int | float) else [within[key]]


def repeat(at: Spot, spots: list[Spot], dice: Random) -> None:
    within, key = at
    if isinstance(within, list):
        within.insert(dice.randrange(len(within) + 1), copy.deepcopy(within[key]))
    else:
        within[dice.choice(("t", "id", "seq", "parent", "a"))] = copy.deepcopy(within[key])


def borrow(at: Spot, spots: list[Spot], dice: Random) -> None:
    """What is right elsewhere: another state, another's path, an id that is taken."""
    within, key = at
    like = [one[name] for one, name in spots if type(one[name]) is type(within[key])]
    within[key] = copy.deepcopy(dice.choice(like))


def exchange(at: Spot, spots: list[Spot], dice: Random) -> None:
    within, key = at
    other = dice.choice(list(within) if isinstance(within, dict) else range(len(within)))
    within[key], within[other] = within[other], within[key]


WAYS: tuple[Way, ...] = (remove, retype, renumber, repeat, borrow, borrow, exchange)
PARTS = ("row", "records", "records", "records", "updates", "tokens")


def altered(parcel: Parcel, dice: Random, times: int) -> bytes:
    plain = opened(parcel)
    for _ in range(times):
        found = list(spots(plain[dice.choice(PARTS)]))
        if found:
            dice.choice(WAYS)(dice.choice(found), found, dice)
    return closed(plain)
