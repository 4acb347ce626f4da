"""A disk that is full, or fails at the sync, for a while: a journal that reads always."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..errors import JournalError
from ..journal.memory import MemoryJournal
from ..journal.queued import Verdict

FULL: Final = JournalError("the disk is full: make room")


class Disk(MemoryJournal):
    """Set is_full (nothing is written) and is_unsure (it is written, and yet said to have failed) as you like.

    tried: the changes it was given while it was full.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.is_unsure = False
        self.tried = 0

    def _run(self) -> None:
        if self.is_full:
            count = sum(job.change is not None for job in self._jobs)
            self.tried += count
            self.fail_next(FULL, count)
        super()._run()

    def _settle(self, verdicts: Sequence[Verdict]) -> None:
        if self.is_unsure:
            verdicts = [(job, verdict if job.change is None else FULL) for job, verdict in verdicts]
        super()._settle(verdicts)
