"""What a history leaves behind: its digest, what was broken and which faults were reached."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from engine.simulation.checks import Broken
from engine.simulation.script import Script

if TYPE_CHECKING:
    from .world import World

# References into the log of a process are new each time, and nothing depends on them.
REF: Final = re.compile(rb'(?:"ref":"|\(ref (?:r\.)?)[0-9a-f]{8,12}')


@dataclass(frozen=True, slots=True)
class Result:
    """turns: of the loop, over all processes. digest: of everything durable and everything heard. reached, failed: as
    in Strikes."""

    script: Script
    digest: str
    broken: list[Broken]
    reached: Counter[str]
    failed: Counter[tuple[str, str]]
    turns: int


def digest(world: World) -> str:
    """The same for two histories in which the same happened, in the same order."""
    durable = [
        part for appends in world.disk.written.values() for one in appends for part in (one.record, *one.updates)
    ]
    heard = [one.payload for person in world.everybody for one in person.heard]
    clock = repr((world.turns, world.now)).encode()
    return blake2b(REF.sub(b"", b"\n".join([*durable, *heard, clock])), digest_size=12).hexdigest()
