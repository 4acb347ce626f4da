"""Which system calls a fenced program may not make, and why; as a program for the kernel's seccomp.

Landlock holds what a program opens. Whatever reaches beyond its folder in another way is in these tables. What is newer
than they are is said to be missing (ENOSYS), as are calls whose arguments a filter cannot see; libraries then take
the older call. Numbers: each machine's asm/unistd.h, linux/seccomp.h, linux/filter.h, linux/audit.h.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

NEWEST: Final = 450  # the last call that was looked at for these tables
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026
LOAD, JUMP_EQUAL, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # audit's name, column of the tables

# Why -> name, number on x86_64, number on aarch64; "-": there is no such call.
DENIED: Final[Mapping[str, str]] = {
    "changes files by name or by a descriptor that may only read; Landlock looks at neither": """
        chmod 90 -  fchmod 91 52  fchmodat 268 53  chown 92 -  fchown 93 55  lchown 94 -  fchownat 260 54
        utime 132 -  utimes 235 -  futimesat 261 -  utimensat 280 88  truncate 76 45
        setxattr 188 5  lsetxattr 189 6  fsetxattr 190 7
        removexattr 197 14  lremovexattr 198 15  fremovexattr 199 16""",
    "watches what others do with their files": "inotify_add_watch 254 27  fanotify_init 300 262  fanotify_mark 301 263",
    "reaches the network, or parks descriptors in a socket": "socket 41 198  sendmsg 46 211  sendmmsg 307 269",
    "reads, slows or steers another process of the same user": """
        ptrace 101 117  process_vm_readv 310 270  process_vm_writev 311 271  process_madvise 440 440
        process_mrelease 448 448  pidfd_getfd 438 438  pidfd_send_signal 424 424  kcmp 312 272
        move_pages 279 239  migrate_pages 256 238  setpriority 141 140  ioprio_set 251 30  sched_setaffinity 203 122
        sched_setparam 142 118  sched_setscheduler 144 119  sched_setattr 314 274
        rt_sigqueueinfo 129 138  rt_tgsigqueueinfo 297 240""",
    "leaves the process group that is ended, or the machine's namespaces": """
        setpgid 109 154  setsid 112 157  unshare 272 97  setns 308 268""",
    "leaves something behind, or meets programs of other runs": """
        shmget 29 194  shmat 30 196  shmctl 31 195  semget 64 190  semop 65 193  semtimedop 220 192  semctl 66 191
        msgget 68 186  msgsnd 69 189  msgrcv 70 188  msgctl 71 187  mq_open 240 180  mq_unlink 241 181
        add_key 248 217  request_key 249 218  keyctl 250 219""",
    "takes memory that no limit counts": "memfd_create 319 279  memfd_secret 447 447",
    "takes what the whole machine has one of, or delays everybody": """
        io_setup 206 0  sync 162 81  syncfs 306 267  syslog 103 116  perf_event_open 298 241""",
    "makes calls that no filter sees, or runs in the kernel": """
        io_uring_setup 425 425  io_uring_enter 426 426  io_uring_register 427 427  bpf 321 280  userfaultfd 323 282""",
}
SIGNALS: Final = "kill 62 129  tkill 200 130  tgkill 234 131"  # where Landlock does not keep them among the fenced
UNSEEN: Final = "clone3 435 435  openat2 437 437"
WORD: Final = 0xFFFFFFFF
NAMESPACES: Final = 0x7E020000  # all CLONE_NEW…
TERMINAL_AND_PIPE: Final = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)


@dataclass(frozen=True, slots=True)
class Rule:
    """A call that depends on an argument: refused if its bits under the mask are (or, is_only, are not) in values."""

    call: str
    argument: int
    values: tuple[int, ...]
    mask: int = WORD
    is_only: bool = False


RULES: Final = (
    # Cuts a file off that it may only read: Landlock before its third version does not see that.
    Rule("open 2 -", 1, (0o1000,), mask=0o1003),
    Rule("openat 257 56", 2, (0o1000,), mask=0o1003),
    Rule("prlimit64 302 261", 0, (0,), is_only=True),  # its own limits, not the server's
    Rule("clone 56 220", 0, (0,), mask=NAMESPACES, is_only=True),
    Rule("fcntl 72 25", 1, (8, 10, 15)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a signal to anybody when data comes
    Rule("ioctl 16 29", 1, TERMINAL_AND_PIPE, is_only=True),  # others change a file's attributes
)
Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def numbers(table: str, column: int) -> list[int]:
    rows = [found[1:] for found in re.findall(r"(\w+) (\d+|-) (\d+|-)", table)]
    return [int(row[column]) for row in rows if row[column] != "-"]


def program(machine: str, *, signals_are_held: bool) -> list[Instruction]:
    """For prctl(PR_SET_SECCOMP). Raises KeyError for a machine that the tables do not know."""
    audit, column = MACHINES[machine]
    denied = " ".join((*DENIED.values(), *(() if signals_are_held else (SIGNALS,))))
    return [
        (LOAD, 0, 0, 4),
        *((JUMP_EQUAL, 1, 0, audit), (RETURN, 0, 0, EPERM)),  # another machine's calls have other numbers
        (LOAD, 0, 0, 0),
        *((JUMP_AT_LEAST, 0, 1, NEWEST + 1), (RETURN, 0, 0, ENOSYS)),  # x32's begin far above too
        *(one for number in numbers(denied, column) for one in _answer(number, EPERM)),
        *(one for number in numbers(UNSEEN, column) for one in _answer(number, ENOSYS)),
        *(one for rule in RULES for one in _look(rule, column)),
        (RETURN, 0, 0, ALLOW),
    ]


def _answer(number: int, answer: int) -> Iterator[Instruction]:
    yield (JUMP_EQUAL, 0, 1, number)
    yield (RETURN, 0, 0, answer)


def _look(rule: Rule, column: int) -> Iterator[Instruction]:
    found, otherwise = (ALLOW, EPERM) if rule.is_only else (EPERM, ALLOW)
    for number in numbers(rule.call, column):
        yield (JUMP_EQUAL, 0, 3 + 2 * len(rule.values), number)
        yield (LOAD, 0, 0, 16 + 8 * rule.argument)  # the low half: what the kernel takes of these
        yield (AND, 0, 0, rule.mask)
        for value in rule.values:
            yield from _answer(value, found)
        yield (RETURN, 0, 0, otherwise)


def as_bytes(instructions: list[Instruction]) -> bytes:
    return b"".join(struct.pack("HBBI", *one) for one in instructions)
