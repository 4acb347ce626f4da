"""Servers that are measured from outside: `steward serve` and others, each a process of its own with its books."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any, Final

from benchmarks.lives import HANDLERS, HERE

READY_S: Final = 60.0
POLL_S: Final = 0.005
TICKS_S: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MANY: Final = "10000"  # a limit that nothing here reaches
SETTINGS: Final = {
    "STEWARD_HANDLERS": HANDLERS,
    "STEWARD_TEAMS": "{}",
    "STEWARD_COMMANDS_PER_S": MANY,
    "STEWARD_COMMANDS_BURST": MANY,
    "STEWARD_UNWELCOMED_MAX": MANY,
    "STEWARD_UNWELCOMED_PER_ADDRESS_MAX": MANY,
    "STEWARD_LOG_LEVEL": "error",
    "STEWARD_GRACE_S": "2",
}
SERVE: Final = "from server.cli import main; main()"
ON_UVLOOP: Final = "import uvloop; uvloop.install(); "


def raise_limits() -> int:
    """As many descriptors as the system allows; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


class Server:
    """A child process. cpu_s and rss: its books as the kernel keeps them."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, key: str = "", data: Path | None = None) -> None:
        self.process = process
        self.port = port
        self.key = key
        self.data = data

    @property
    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_S

    @property
    def rss(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * PAGE

    def get(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            return json.load(answer)

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        if self.data is not None:
            shutil.rmtree(self.data, ignore_errors=True)


async def steward(life: str = "wire", *, uvloop: bool = False, data: Path | None = None, **settings: str) -> Server:
    """`steward serve` on a free port with a life of the benchmarks, ready for clients."""
    folder = data or Path(tempfile.mkdtemp(prefix="bench-"))
    address = folder / "address"
    address.unlink(missing_ok=True)
    flags = ["--port", "0", "--data", str(folder), "--lifecycle", str(HERE / f"{life}.yaml")]
    command = [sys.executable, "-c", (ON_UVLOOP if uvloop else "") + SERVE, "serve", *flags]
    child = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        env={**os.environ, **SETTINGS, **settings, "PYTHONDONTWRITEBYTECODE": ""},  # installed, it would be compiled
    )
    async with asyncio.timeout(READY_S):
        while not address.exists() or not address.read_text():
            if child.returncode is not None:
                raise RuntimeError(f"steward serve ended with {child.returncode}")
            await asyncio.sleep(POLL_S)
    port = int(json.loads(address.read_text())["url"].rsplit(":", 1)[1])
    return Server(child, port, (folder / "key").read_text().strip(), folder)


async def other(*command: str) -> Server:
    """Any program that prints its port on its first line."""
    child = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    async with asyncio.timeout(READY_S):
        line = await child.stdout.readline()
    if not line:
        raise RuntimeError(f"{command[0]} ended before it served")
    return Server(child, int(line))
