"""`python -m tests.faults [--seed N] [--sessions N] [--commands N] [--kills N]`: the long campaigns (make faults)."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.faults.campaign import through_a_bad_network, under_kills


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--commands", type=int, default=1000, help="of each of two clients of a session")
    parser.add_argument("--kills", type=int, default=300)
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}")
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        done = asyncio.run(
            through_a_bad_network(
                Path(folder) / "network", chosen.seed, sessions=chosen.sessions, people=2, commands=chosen.commands
            )
        )
        print(f"bad network: {dict(done)} in {time.monotonic() - began:.0f} s; nothing lost, nothing doubled")
        began = time.monotonic()
        died = asyncio.run(under_kills(Path(folder) / "kills", chosen.seed, kills=chosen.kills))
        print(f"kill -9: {dict(died)} in {time.monotonic() - began:.0f} s; nothing lost, nothing doubled")


if __name__ == "__main__":
    main()
