"""What a session is called, and each incarnation of its log."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Final

SID_BYTES: Final = 16  # nobody guesses one, though to know it is no right
EPOCH_BYTES: Final = 6


def new_sid(token_bytes: Callable[[int], bytes]) -> str:
    return "s." + base64.b32encode(token_bytes(SID_BYTES)).decode().lower().rstrip("=")


def new_epoch(token_bytes: Callable[[int], bytes]) -> str:
    return token_bytes(EPOCH_BYTES).hex()
