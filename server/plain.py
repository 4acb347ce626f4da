"""Text of others as it may stand in a log or a terminal: nothing in it begins a line, moves a cursor or turns text."""

from __future__ import annotations

import re
from typing import Final

# What ends lines (C0, U+0085, U+2028 …), what terminals obey (ESC, and CSI in one character), what reverses the
# direction of text, and halves of characters, which no stream can write.
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain(text: str) -> str:
    r"""One line; what would be more than text is written out, as \n and \x1b."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain_lines(text: str) -> str:
    """The same for text that may have several lines."""
    return "\n".join(map(plain, text.split("\n")))
