"""Runs the tests of one folder inside limits and a fence, as a program of its own: runner.py FOLDER CPU_S MEMORY_BYTES.

It leaves verdict.json in the folder: {ran, failures: [[test, why]], fence, broke?}. The limits hold for each process
that it starts; the fence (Landlock and seccomp, Linux) holds for all of them and cannot be taken off: no file outside
the folder but Python's own, no network, no signal to anybody outside, no way out of the process group. Where the kernel
has no such thing, `fence` says what is missing. What the code can do is forge its own verdict: it runs in here.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import re
import resource
import struct
import sys
import unittest
from pathlib import Path
from typing import Any, Final

FILE_BYTES_MAX: Final = 1024 * 1024
FILES_MAX: Final = 64
ME: Final = os.getpid()
BROKE_OUT: Final = 97  # the exit code when the hook below has ended the program
READABLE: Final = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
DEVICES: Final = ("/dev/null", "/dev/urandom", "/dev/zero")

# Kernel numbers: linux/landlock.h, linux/seccomp.h, linux/audit.h, and each machine's asm/unistd.h.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
ACCESS_BITS: Final = {1: 13, 2: 14, 3: 15, 4: 15}  # by version of Landlock; from 5 on 16
NO_NEW_PRIVS, SET_SECCOMP, MODE_FILTER = 38, 22, 2
ALLOW, EPERM = 0x7FFF0000, 0x00050001
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, RETURN = 0x20, 0x15, 0x35, 0x06
# setpgid, setsid, ptrace, socket, process_vm_readv, process_vm_writev, io_uring_setup
DENIED: Final = {
    "x86_64": (0xC000003E, (109, 112, 101, 41, 310, 311, 425)),
    "aarch64": (0xC00000B7, (154, 157, 117, 198, 270, 271, 425)),
}


def limit(cpu_s: int, memory: int) -> None:
    for what, soft, hard in (
        (resource.RLIMIT_CPU, cpu_s, cpu_s + 1),
        (resource.RLIMIT_AS, memory, memory),
        (resource.RLIMIT_FSIZE, FILE_BYTES_MAX, FILE_BYTES_MAX),
        (resource.RLIMIT_NOFILE, FILES_MAX, FILES_MAX),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))


def fence(folder: Path) -> list[str]:
    """What is in force afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return []
    landlock = sys.platform == "linux" and _landlock(libc, folder)
    seccomp = sys.platform == "linux" and _seccomp(libc)
    return [name for name, is_there in (("landlock", landlock), ("seccomp", seccomp)) if is_there]


def _landlock(libc: Any, folder: Path) -> bool:
    version = libc.syscall(CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    files = (1 << ACCESS_BITS.get(version, 16)) - 1
    network, scopes = (3 if version >= 4 else 0), (3 if version >= 6 else 0)  # bind and connect; sockets and signals
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = libc.syscall(CREATE_RULESET, struct.pack("QQQ", files, network, scopes), size, 0)
    if ruleset < 0:
        return False
    places = {str(folder): files}
    places |= dict.fromkeys((*READABLE, sys.prefix, sys.base_prefix), EXECUTE | READ_FILE | READ_DIR)
    places |= dict.fromkeys(DEVICES, READ_FILE | WRITE_FILE)
    for place, access in places.items():
        if Path(place).exists():
            access &= files if Path(place).is_dir() else files & (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE)
            handle = os.open(place, os.O_PATH | os.O_CLOEXEC)
            libc.syscall(ADD_RULE, ruleset, 1, struct.pack("=Qi", access, handle), 0)
            os.close(handle)
    is_done = libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return bool(is_done)


def _seccomp(libc: Any) -> bool:
    if platform.machine() not in DENIED:
        return False
    arch, numbers = DENIED[platform.machine()]
    refuse = len(numbers) + 1  # jumps: how many instructions to leave out
    program = [(LOAD, 0, 0, 4), (JUMP_EQUAL, 1, 0, arch), (RETURN, 0, 0, EPERM), (LOAD, 0, 0, 0)]
    program.append((JUMP_AT_LEAST, refuse, 0, 0x40000000))  # x32: the same calls under other numbers
    program += [(JUMP_EQUAL, refuse - 1 - index, 0, number) for index, number in enumerate(numbers)]
    program += [(RETURN, 0, 0, ALLOW), (RETURN, 0, 0, EPERM)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(code)))
    return bool(libc.prctl(SET_SECCOMP, MODE_FILTER, header, 0, 0) == 0)


def name_who_peeks(folder: Path, found: dict[str, Any]) -> None:
    """End the program at the first file that it opens outside, and say which: the fence would only refuse it."""
    allowed = tuple(str(Path(place).resolve()) for place in (folder, sys.prefix, sys.base_prefix, *READABLE, *DEVICES))

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or "broke" in found or not isinstance(arguments[0], (str, bytes)):
            return
        path = os.path.realpath(os.fsdecode(arguments[0]))
        if not any(path == place or path.startswith(place + os.sep) for place in allowed):
            found["broke"] = f"opened {path[:200]}"
            leave(folder, found, BROKE_OUT)

    sys.addaudithook(hook)


def leave(folder: Path, found: dict[str, Any], code: int) -> None:
    if os.getpid() != ME:
        os._exit(code)  # a child of the program came back from it; the verdict is its parent's
    (folder / "verdict.json").write_text(json.dumps(found), encoding="utf-8")
    sys.stdout.flush()
    os._exit(code)  # whatever threads and exit handlers the program has left


def why(text: str) -> str:
    """What was raised: a traceback's last line that names an error; a comparison follows with lines of its own."""
    lines = [line for line in text.splitlines() if re.match(r"[\w.]+(Error|Exception|Exit|Interrupt)\b", line)]
    return (lines or text.splitlines() or [""])[-1][:300]


def main(folder: Path, cpu_s: int, memory: int) -> None:
    found: dict[str, Any] = {"ran": 0, "failures": [], "fence": []}
    limit(cpu_s, memory)
    found["fence"] = ["limits", *fence(folder)]
    name_who_peeks(folder, found)
    sys.path.insert(0, str(folder))
    suite = unittest.defaultTestLoader.loadTestsFromName("tests")
    result = unittest.TextTestRunner(stream=sys.stdout, failfast=False).run(suite)
    found["ran"] = result.testsRun
    found["failures"] = [[str(test).split()[0], why(text)] for test, text in (*result.failures, *result.errors)][:20]
    leave(folder, found, 0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
