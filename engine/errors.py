"""Whose fault it is: the author's, the sender's, a handler's, the store's. Anything else is a bug of ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class StewardError(Exception):
    """Root of every error this project raises on purpose."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One mistake in an author's file. line and column start at 1; code is stable across releases."""

    file: str
    line: int
    column: int
    path: str
    message: str
    code: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {where}{self.message}{hint} [{self.code}]"


class SpecError(StewardError):
    """The author's: a lifecycle file with mistakes, all of them.

    is_readable is False when the file is not even a document that could be checked (exit code 2, not 1).
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], *, is_readable: bool = True) -> None:
        super().__init__("\n".join(str(item) for item in diagnostics))
        self.diagnostics = tuple(diagnostics)
        self.is_readable = is_readable


class ArgumentError(StewardError):
    """The author's: arguments that a handler does not take; the loader turns it into diagnostics.

    problems: (argument name or "", sentence) each.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {text}" if name else text for name, text in problems))
        self.problems = tuple(problems)


class RegistryError(StewardError):
    """The author's: handler modules that do not load, or two handlers of one name."""


class Refused(StewardError):
    """The sender's: what was asked may not happen now. code is stable; retry_ms says when it may, if ever."""

    def __init__(self, code: str, message: str, *, retry_ms: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_ms = retry_ms


class NotOurs(StewardError):
    """The sender's: what it hands in is nothing that could have been written here."""


class Busy(Refused):
    """The sender's: a mailbox is full; the same event may be sent again after retry_ms."""

    def __init__(self, message: str, *, retry_ms: int = 250) -> None:
        super().__init__("busy", message, retry_ms=retry_ms)


class LimitExceeded(Refused):
    """The sender's, or of the handler that acquired: a declared limit would be passed."""

    def __init__(self, limit: str, most: int, message: str = "", *, retry_ms: int | None = None) -> None:
        super().__init__(
            "limit_exceeded",
            message or f"the limit {limit}: {most} is reached",
            retry_ms=retry_ms,
        )
        self.limit = limit
        self.most = most


class ScopeClosed(StewardError):
    """A handler's: it used its ctx after the state (or the step) it belonged to was left."""


class HandlerFailed(StewardError):
    """A handler's: it raised, hung past its time-out, or returned what it may not.

    code: raised | timeout | nonsense, or what the handler says. ref names the log line that has the text; clients see
    code, ref and public, which must hold nothing but names.
    """

    def __init__(self, handler: str, code: str, message: str, *, ref: str = "", public: str = "") -> None:
        super().__init__(f"{handler}: {message}")
        self.handler = handler
        self.code = code
        self.message = message
        self.ref = ref
        self.public = public

    @property
    def shown(self) -> str:
        """The failure as clients may see it. A refusal (ref "refused") has its words and no line in the log."""
        where = "" if self.ref == "refused" else f" (ref {self.ref})"
        return f"{self.code}{where}" + (f": {self.public}" if self.public else "")


class HandlerBlocked(StewardError):
    """A handler's: it held the loop without giving it up, and was interrupted where it stood."""


class ChildFailed(StewardError):
    """A handler's: a child it started went to its end instead of to work."""


class JournalError(StewardError):
    """The store's: it refused or could not be read; nothing of the append was written."""


class Overtaken(StewardError):
    """A reader's: it wants updates that are trimmed away, and has to begin anew with a snapshot. first: the oldest
    that is kept."""

    def __init__(self, first: int) -> None:
        super().__init__(f"updates before {first} are not kept any more")
        self.first = first


class Fenced(JournalError):
    """The store's: another writer owns the session now, or the revision is not the next one."""


class Violation(JournalError):
    """The asker's: what is to be written breaks a rule that every log keeps (a token is known already, a trim goes
    too far). The store is well, and asking again does not help."""


class Corrupt(JournalError):
    """The store's: what it holds is not what was written. It is left as it is, never served, and asking again does
    not help. sid: whose log; "" if it is not one session's."""

    def __init__(self, sid: str, what: str) -> None:
        super().__init__(f"the log of session {sid} is damaged: {what}" if sid else what)
        self.sid = sid
        self.what = what


class UnknownFormat(JournalError):
    """The store's: data of a version this release does not know. It is left as it is."""
