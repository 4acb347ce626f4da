"""The log of every session: the port, and the stores that keep it. Importing this loads no database."""

from __future__ import annotations

from .base import Append, Journal, SessionRow, TokenRow, Trim

__all__ = ["Append", "Journal", "SessionRow", "TokenRow", "Trim"]
