"""Tasks with their tests, and what the script writes for each: first with a mistake, then without. Some are hostile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Assignment:
    """tests: a module of unittest that imports solution. attempts: what the script hands in, one after the other."""

    name: str
    text: str
    tests: str
    attempts: tuple[str, ...]
    is_hostile: bool = False


def _tests(*lines: str) -> str:
    cases = "\n".join(f"    def test_{n}(self):\n        {line}" for n, line in enumerate(lines, 1))
    return f"import unittest\nimport solution\n\n\nclass Tests(unittest.TestCase):\n{cases}\n"


def _hostile(name: str, text: str, body: str) -> Assignment:
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    solution = f"import os, signal, subprocess, sys, time\n\n\ndef answer():\n{indented}\n    return 42\n"
    return Assignment(name, text, _tests("self.assertEqual(solution.answer(), 42)"), (solution,), is_hostile=True)


_ROMAN: Final = """def roman(number):
    text = ""
    for value, sign in SIGNS:
        while number >= value:
            text += sign
            number -= value
    return text
"""
_PLAIN_SIGNS: Final = 'SIGNS = [(1000, "M"), (500, "D"), (100, "C"), (50, "L"), (10, "X"), (5, "V"), (1, "I")]\n\n\n'
_ALL_SIGNS: Final = """SIGNS = [
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"),
    (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
]


"""
_BRACKETS_FIRST: Final = """def balanced(text):
    return all(text.count(left) == text.count(right) for left, right in ("()", "[]", "{}"))
"""
_BRACKETS: Final = """PAIRS = {")": "(", "]": "[", "}": "{"}


def balanced(text):
    open_ones = []
    for sign in text:
        if sign in PAIRS.values():
            open_ones.append(sign)
        elif sign in PAIRS and (not open_ones or open_ones.pop() != PAIRS[sign]):
            return False
    return not open_ones
"""
_PRIMES: Final = """def primes(most):
    return [n for n in range(2, {end}) if all(n % d for d in range(2, int(n**0.5) + 1))]
"""

ASSIGNMENTS: Final = {
    one.name: one
    for one in (
        Assignment(
            "roman",
            "a function roman(number) that writes 1 to 3999 in Roman numerals",
            _tests(
                'self.assertEqual(solution.roman(3), "III")',
                'self.assertEqual(solution.roman(1994), "MCMXCIV")',
                'self.assertEqual(solution.roman(49), "XLIX")',
            ),
            (_PLAIN_SIGNS + _ROMAN, _ALL_SIGNS + _ROMAN),
        ),
        Assignment(
            "brackets",
            "a function balanced(text) that says whether all brackets ()[]{} are closed in order",
            _tests(
                'self.assertTrue(solution.balanced("a[b(c)]{}"))',
                'self.assertFalse(solution.balanced("(]"))',
                'self.assertFalse(solution.balanced(")("))',
            ),
            (_BRACKETS_FIRST, _BRACKETS),
        ),
        Assignment(
            "primes",
            "a function primes(most) that lists the primes up to and including most",
            _tests(
                "self.assertEqual(solution.primes(10), [2, 3, 5, 7])",
                "self.assertEqual(solution.primes(13)[-1], 13)",
                "self.assertEqual(solution.primes(1), [])",
            ),
            (_PRIMES.format(end="most"), _PRIMES.format(end="most + 1")),
        ),
        _hostile("spins", "code that never ends", "while True:\n    pass"),
        _hostile(
            "stubborn",
            "code that sleeps and ignores SIGTERM",
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)",
        ),
        _hostile(
            "forks",
            "code that leaves children and grandchildren behind",
            "here, there = os.pipe()\n"
            "for _ in range(2):\n"
            "    if os.fork() == 0:\n"
            "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "        os.fork()\n"
            '        os.write(there, b".")\n'
            "        time.sleep(600)\n"
            "for _ in range(4):\n"
            "    os.read(here, 1)",
        ),
        _hostile("bomb", "code that starts processes without end", "while True:\n    os.fork()"),
        _hostile(
            "escapes",
            "code that starts a process in a session of its own",
            'subprocess.Popen(["sleep", "600"], start_new_session=True)',
        ),
        _hostile("floods", "code that writes without end", 'while True:\n    print("x" * 1000)'),
        _hostile("hoards", "code that takes all memory", 'kept = []\nwhile True:\n    kept.append("x" * 10**7)'),
        _hostile("peeks", "code that reads what is not its own", 'open("/etc/passwd").read()'),
        _hostile(
            "peeks-by-cat",
            "code that has another program read for it",
            'subprocess.check_output(["cat", "/etc/passwd"])',
        ),
        _hostile("quits", "code that leaves before its tests", "os._exit(0)"),
        _hostile(
            "nests",
            "code that nests folders too deep for a path",
            'while True:\n    os.mkdir("d" * 200)\n    os.chdir("d" * 200)',
        ),
        _hostile(
            "fills",
            "code that fills the disk",
            'for number in range(10**6):\n    open(f"{number}", "wb").write(b"x" * 2**20)',
        ),
        _hostile("meddles", "code that slows the server down", "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)"),
    )
}
HARMLESS: Final = tuple(name for name, one in ASSIGNMENTS.items() if not one.is_hostile)
