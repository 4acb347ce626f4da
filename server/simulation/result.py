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
    """turns: of the loop, over all processes. digest: of everything durable and everything heard."""

    script: Script
    digest: str
    broken: list[Broken]
    reached: Counter[str]
    turns: int


def digest(world: World) -> str:
    """The same for two histories in which the same happened, in the same order."""
    found = blake2b(digest_size=12)
    for sid, appends in world.disk.written.items():
        found.update(sid.encode())
        for append in appends:
            found.update(REF.sub(b"", append.record))
            for update in append.updates:
                found.update(REF.sub(b"", update))
    for person in world.everybody:
        for heard in person.heard:
            found.update(REF.sub(b"", heard.payload))
    found.update(repr((world.turns, world.now)).encode())
    return found.hexdigest()
