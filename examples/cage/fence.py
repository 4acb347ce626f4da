"""Takes from the calling process, for good, whatever a program that nobody trusts has no need of (Linux).

Landlock: no file outside its folder but what Python reads. Capabilities: none, even for root. seccomp: none of the
calls in calls.py. What a program and its offspring may still do: use the processor, see whether a path exists,
how large and how old it is, and whatever a bug in the kernel lets it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys
from pathlib import Path
from typing import Any, Final

from .calls import MACHINES, as_bytes, program

HELD: Final = ("files", "network", "signals", "machine")  # what a whole fence holds
FILE_BYTES_MAX: Final = 1024 * 1024
DESCRIPTORS_MAX: Final = 64
TASKS_SPARE: Final = 512  # others of the same user may start so many meanwhile

# linux/landlock.h, linux/capability.h, linux/prctl.h
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
DEVICE_MAKING: Final = 1 << 6 | 1 << 9 | 1 << 11  # of character devices, sockets, block devices
ACCESS_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}  # by version of Landlock; from 5 on 16
SCOPES_VERSION: Final = 6  # from here on Landlock keeps signals among the fenced
CAPABILITY_VERSION: Final = 0x20080522
NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2

DEVICES: Final = ("/dev/null", "/dev/urandom", "/dev/zero")
SYSTEM: Final = (
    *("/usr/bin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/share/zoneinfo", "/bin", "/lib", "/lib64"),
    *("/etc/ld.so.cache", "/etc/localtime"),
)


def readable() -> list[Path]:
    """What every program may read and execute: not all of /usr or of Python's prefix, for an image may have its
    application in there."""
    base, own = Path(sys.base_prefix), Path(sys.prefix)
    python = (base / "lib", base / "lib64", own / "pyvenv.cfg", Path(sys.executable))
    links = {path.resolve() for path in python}
    return sorted(path for path in {*map(Path, SYSTEM), *python, *links} if path.exists())


def limit(cpu_s: int, memory_bytes: int) -> None:
    """Of each process. How many there are is the warden's to watch; the bound here is for when it cannot look."""
    for what, soft, hard in (
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_AS, memory_bytes, memory_bytes),
        (resource.RLIMIT_FSIZE, FILE_BYTES_MAX, FILE_BYTES_MAX),
        (resource.RLIMIT_NOFILE, DESCRIPTORS_MAX, DESCRIPTORS_MAX),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))
    if sys.platform == "linux":
        tasks = int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])  # of all users; root has no bound
        _, most = resource.getrlimit(resource.RLIMIT_NPROC)
        if most == resource.RLIM_INFINITY or most > tasks + TASKS_SPARE:
            resource.setrlimit(resource.RLIMIT_NPROC, (tasks + TASKS_SPARE, tasks + TASKS_SPARE))


def fence(folder: Path) -> list[str]:
    """Which of HELD are in force afterwards. It cannot be taken off again."""
    if sys.platform != "linux" or platform.machine() not in MACHINES:
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return []
    is_plain = _drop_capabilities(libc)
    version = _landlock(libc, folder)
    is_filtered = _seccomp(libc, signals_are_held=version >= SCOPES_VERSION)
    holds = {
        "files": version > 0 and is_plain and is_filtered,
        "network": is_filtered,
        "signals": is_filtered,
        "machine": is_plain and is_filtered,
    }
    return [name for name in HELD if holds[name]]


def _drop_capabilities(libc: Any) -> bool:
    """Root's power over devices, limits and others' files; without new privileges no program gives it back."""
    header = ctypes.create_string_buffer(struct.pack("Ii", CAPABILITY_VERSION, 0))
    return bool(libc.capset(header, ctypes.create_string_buffer(24)) == 0)


def _landlock(libc: Any, folder: Path) -> int:
    """The version in force; 0: none."""
    version = max(0, libc.syscall(CREATE_RULESET, None, 0, 1))
    if not version:
        return 0
    files = (1 << ACCESS_BITS.get(version, 16)) - 1
    network, scopes = (3 if version >= 4 else 0), (3 if version >= SCOPES_VERSION else 0)
    size = 24 if version >= SCOPES_VERSION else 16 if version >= 4 else 8
    ruleset = libc.syscall(CREATE_RULESET, struct.pack("QQQ", files, network, scopes), size, 0)
    if ruleset < 0:
        return 0
    places = {folder: files & ~DEVICE_MAKING}
    places |= dict.fromkeys(readable(), EXECUTE | READ_FILE | READ_DIR)
    places |= dict.fromkeys(map(Path, DEVICES), READ_FILE | WRITE_FILE)
    for place, access in places.items():
        if place.exists():
            access &= files if place.is_dir() else files & (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE)
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
            libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", access, handle), 0)
            os.close(handle)
    is_done = libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return version if is_done else 0


def _seccomp(libc: Any, *, signals_are_held: bool) -> bool:
    instructions = program(platform.machine(), signals_are_held=signals_are_held)
    code = ctypes.create_string_buffer(as_bytes(instructions))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(instructions), ctypes.addressof(code)))
    return bool(libc.prctl(SET_SECCOMP, MODE_FILTER, header, 0, 0) == 0)
