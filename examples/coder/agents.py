"""The coder, who writes and mends, and the tester, who runs what was written where it can do no harm."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from autogen_core import MessageContext, RoutedAgent, TopicId, message_handler
from autogen_core.models import CreateResult, LLMMessage, SystemMessage, UserMessage

from examples.support.openai import Counted
from examples.support.wire import ModelError
from handlers.team import PersonSaid, Seat

from .messages import CODE, VERDICTS, Begin, Code, Options, Verdict
from .run import Ran, run_tests
from .tasks import ASSIGNMENTS, HARMLESS, Assignment

BLOCK: Final = re.compile(r"```(?:python)?\n(.*?)```", re.DOTALL)
SOURCE_CHARS_MAX: Final = 20_000
TOLD_MAX: Final = 3  # failures in words; the event has them all
SYSTEM: Final = "You write small Python modules. Answer with the whole module solution.py in one code block."
Author = Callable[[Assignment, int, Options], Counted]  # who writes this attempt, the first is 1


class Coder(RoutedAgent):
    """It knows what it wrote last and what came of it, so it goes on where it was."""

    def __init__(self, seat: Seat, author: Author) -> None:
        super().__init__("writes code")
        self._seat = seat
        self._options: Options = seat.options
        self._author = author
        self._source = ""

    @message_handler
    async def begin(self, message: Begin, ctx: MessageContext) -> None:
        if message.task:
            await self._write(ASSIGNMENTS[message.task], 1, ())
        else:
            self._tell(f"What shall I write? I know {', '.join(HARMLESS)}.")

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> None:
        words = re.findall(r"[\w-]+", message.text.lower())
        task = next((word for word in words if word in HARMLESS), None)
        if task is None:
            self._tell(f"I know {', '.join(HARMLESS)}; name one of them.")
        else:
            await self._write(ASSIGNMENTS[task], 1, ())

    @message_handler
    async def judged(self, message: Verdict, ctx: MessageContext) -> None:
        task = ASSIGNMENTS[message.task]
        if message.passed:
            self._tell(f"{task.name} is done: its tests pass at attempt {message.attempt}.", done=True)
        elif message.attempt >= self._options.attempts or task.is_hostile:
            self._tell(f"I give {task.name} up after attempt {message.attempt}.", done=False)
        else:
            await self._write(task, message.attempt + 1, (*message.failures, *message.ended))

    async def _write(self, task: Assignment, attempt: int, problems: tuple[str, ...]) -> None:
        author, stream = self._author(task, attempt, self._options), self._seat.stream()
        try:
            async for piece in author.create_stream(self._prompt(task, problems)):
                if not isinstance(piece, CreateResult):
                    stream.write(piece)
        except ModelError as error:
            stream.rewind()
            self._tell(f"I cannot write just now: {error}.", error={"code": "model", "ref": ""})
            return
        found = BLOCK.search(stream.text)
        self._source = (found.group(1) if found else stream.text)[:SOURCE_CHARS_MAX]
        stream.finish(task=task.name, attempt=attempt, model=author.label)
        code = Code(task=task.name, attempt=attempt, source=self._source)
        await self.publish_message(code, TopicId(self._seat.topic(CODE), self._seat.sid))

    def _prompt(self, task: Assignment, problems: tuple[str, ...]) -> list[LLMMessage]:
        text = f"Write {task.text}. These tests have to pass:\n\n{task.tests}"
        if problems:
            said = "\n".join(problems)
            text += f"\n\nYour last attempt was:\n\n```python\n{self._source}```\n\nIt failed:\n{said}"
        return [SystemMessage(content=SYSTEM), UserMessage(content=text, source="tester")]

    def _tell(self, text: str, **more: Any) -> None:
        self._seat.emit("agent.message", {"agent": self._seat.name, "text": text, **more})

    async def save_state(self) -> Mapping[str, Any]:
        return {"source": self._source}

    async def load_state(self, state: Mapping[str, Any]) -> None:
        self._source = state["source"]


class Tester(RoutedAgent):
    """It remembers nothing: a test that was cut short is simply run again."""

    def __init__(self, seat: Seat, unfenced: bool) -> None:
        super().__init__("runs tests")
        self._seat = seat
        self._unfenced = unfenced
        self._options: Options = seat.options

    @message_handler
    async def test(self, message: Code, ctx: MessageContext) -> None:
        task = ASSIGNMENTS[message.task]
        ran = await run_tests(
            self._seat,
            f"{task.name}-{message.attempt}",
            message.source,
            task.tests,
            time_limit_s=self._options.time_limit_s,
            memory_bytes=self._options.memory_mb * 1024 * 1024,
            unfenced=self._unfenced,
        )
        self._report(message, ran)
        verdict = Verdict(
            task=message.task,
            attempt=message.attempt,
            passed=ran.is_passed,
            failures=tuple(ran.failures),
            ended=tuple(ran.ended),
        )
        await self.publish_message(verdict, TopicId(self._seat.topic(VERDICTS), self._seat.sid))

    @message_handler
    async def said(self, message: PersonSaid, ctx: MessageContext) -> None:
        text = "I only run what the coder writes; ask the coder."
        self._seat.emit("agent.message", {"agent": self._seat.name, "text": text})

    def _report(self, message: Code, ran: Ran) -> None:
        told = {"agent": self._seat.name, "name": "run_tests", "task": message.task, "attempt": message.attempt}
        shown = {"ok": ran.is_passed, "ran": ran.ran, "failures": ran.failures, "ended": ran.ended}
        more = {"seconds": ran.seconds, "fence": ran.fence, "output": ran.output}
        words = {"arguments": f"{message.task}, attempt {message.attempt}", "result": in_words(ran)}
        self._seat.emit("agent.tool", {**told, **shown, **more, **words})


def in_words(ran: Ran) -> str:
    """For a person: whether they passed, which did not, and why the program was ended."""
    verdict = "passed" if ran.is_passed else "failed"
    told = [f"{ran.ran} tests, {verdict}, in {ran.seconds:.1f} s", *ran.ended, *ran.failures[:TOLD_MAX]]
    if len(ran.failures) > TOLD_MAX:
        told.append(f"{len(ran.failures) - TOLD_MAX} more failed")
    return "; ".join(told)
