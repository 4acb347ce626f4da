"""A model that is a script: keywords decide what it says and which tools it calls, and it says that it is one.

It remembers nothing, so two users cannot meet in it: every answer is made of the messages that it is given.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any, Final

from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    UserMessage,
)
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from .messages import REFUNDS, SALES
from .openai import Counted
from .shop import CATALOGUE, ORDER

LABEL: Final = "scripted"
WANTS_REFUND: Final = re.compile(r"refund|return|broken|money back|\bA-\d{4}\b", re.IGNORECASE)
WANTS_SALE: Final = re.compile(rf"buy|order|price|cost|sell|sales|{'|'.join(CATALOGUE)}", re.IGNORECASE)
BUYS: Final = re.compile(r"buy|order", re.IGNORECASE)
# (tool, its arguments) or what it says.
Turn = tuple[str, dict[str, Any]] | str


def wanted(text: str) -> str | None:
    if WANTS_REFUND.search(text):
        return REFUNDS
    return SALES if WANTS_SALE.search(text) else None


def turn(text: str, results: Sequence[FunctionExecutionResult], tools: frozenset[str]) -> Turn:
    """What comes next. text: the person's last words; results: of the tools that were called since."""
    if "place_order" in tools:
        return _sell(text, results)
    if "refund" in tools:
        return _refund(text, results)
    topic = wanted(text)
    if topic is not None:
        return f"transfer_to_{topic}", {}
    return (
        f"You wrote: {text!r}. I can pass you on to sales, who have a {', a '.join(CATALOGUE)}; "
        "or to refunds, if you name an order such as A-1001."
    )


def _sell(text: str, results: Sequence[FunctionExecutionResult]) -> Turn:
    own = [result for result in results if result.name in ("find_item", "place_order")]
    if own:
        return f"{own[-1].content} That was for: {text!r}. Anything else?"
    if wanted(text) == REFUNDS:
        return "transfer_back_to_triage", {}
    item = next((item for item in CATALOGUE if item in text.lower()), None)
    if item is not None and BUYS.search(text):
        return "place_order", {"item": item, "quantity": 1}
    if wanted(text) == SALES:
        return "find_item", {"query": text[:200]}
    return f"Sales here. You wrote: {text!r}. What would you like: a {', a '.join(CATALOGUE)}?"


def _refund(text: str, results: Sequence[FunctionExecutionResult]) -> Turn:
    found = ORDER.search(text)
    by_name = {result.name: result for result in results}
    if "refund" in by_name:
        return f"{by_name['refund'].content} That was for: {text!r}."
    if "look_up_order" in by_name:
        result = by_name["look_up_order"]
        if result.is_error or found is None:
            return f"{result.content} That was for: {text!r}."
        return "refund", {"order": found.group().upper(), "reason": text[:200]}
    if found is not None:
        return "look_up_order", {"order": found.group().upper()}
    if wanted(text) == SALES:
        return "transfer_back_to_triage", {}
    return f"Refunds here. You wrote: {text!r}. Which order is it? It looks like A-1001."


class Dictation(Counted):
    """A ChatCompletionClient that always says the same. words_per_s: how fast it writes; 0: at once."""

    label = LABEL

    def __init__(self, text: str = "", words_per_s: float = 0.0) -> None:
        super().__init__()
        self._text = text
        self._pause_s = 1 / words_per_s if words_per_s else 0.0

    def _say(self, messages: Sequence[LLMMessage], tools: Sequence[Tool | ToolSchema]) -> Turn:
        return self._text

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Any = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        said = self._say(messages, tools)
        content: str | list[FunctionCall]
        if isinstance(said, str):
            for word in re.findall(r"\s*\S+\s*", said):
                await asyncio.sleep(self._pause_s)
                yield word
            content = said
        else:
            content = [FunctionCall(id=f"call_{len(messages)}", name=said[0], arguments=json.dumps(said[1]))]
        usage = RequestUsage(self.count_tokens(messages), len(str(said)) // 4)
        finish: Any = "stop" if isinstance(content, str) else "function_calls"
        yield self._count(CreateResult(finish_reason=finish, content=content, usage=usage, cached=False))


class ScriptedClient(Dictation):
    """The support desk's script: turn()."""

    def __init__(self, words_per_s: float = 0.0) -> None:
        super().__init__(words_per_s=words_per_s)

    def _say(self, messages: Sequence[LLMMessage], tools: Sequence[Tool | ToolSchema]) -> Turn:
        names = frozenset(tool.name if isinstance(tool, Tool) else tool["name"] for tool in tools)
        return turn(*_last(messages), names)


def _last(messages: Sequence[LLMMessage]) -> tuple[str, list[FunctionExecutionResult]]:
    """The person's last words, and the results of tools since."""
    results: list[FunctionExecutionResult] = []
    for message in reversed(messages):
        if isinstance(message, UserMessage):
            return str(message.content), results
        results[:0] = _results(message)
    return "", results


def _results(message: LLMMessage) -> Iterator[FunctionExecutionResult]:
    if isinstance(message, FunctionExecutionResultMessage):
        yield from message.content
