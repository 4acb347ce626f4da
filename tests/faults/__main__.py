"""`python -m tests.faults [--seed N] [--sessions N] [--at-once N] [--commands N] [--kills N]`: the long campaigns.

Each part has a seed of its own, which is printed: `--seed N --sessions 50` does one part again.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.campaign import through_a_bad_network, under_kills


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=50, help="sessions of one server and one network")
    parser.add_argument("--commands", type=int, default=1000, help="of each of two clients of a session")
    parser.add_argument("--kills", type=int, default=300)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for part, begun in enumerate(range(0, chosen.sessions, chosen.at_once)):
            some = min(chosen.at_once, chosen.sessions - begun)
            network = partial(
                through_a_bad_network,
                Path(folder) / f"network {part}",
                sessions=some,
                people=2,
                commands=chosen.commands,
            )
            run(f"bad network, {some} sessions", chosen.seed + part, network)
        run("kill -9", chosen.seed, partial(under_kills, Path(folder) / "kills", kills=chosen.kills))


def run(name: str, seed: int, campaign: Callable[..., Coroutine[Any, Any, Counter[str]]]) -> None:
    began = time.monotonic()
    print(f"{name}: seed {seed}", flush=True)
    done = asyncio.run(campaign(seed=seed))
    print(f"  {dict(done)} in {time.monotonic() - began:.0f} s; nothing lost, nothing doubled", flush=True)


if __name__ == "__main__":
    main()
