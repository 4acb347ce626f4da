"""OpenAI's chat completions as pure functions: what is sent, and what comes back piece by piece."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FinishReasons,
    FunctionExecutionResultMessage,
    LLMMessage,
    RequestUsage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import Tool, ToolSchema

LINE_BYTES_MAX: Final = 256 * 1024
ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024  # of everything one answer may take on the wire
ANSWER_CHARS_MAX: Final = 16 * 1024
CALLS_MAX: Final = 16
FINISH: Final[dict[str, FinishReasons]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "function_calls",
    "function_call": "function_calls",
    "content_filter": "content_filter",
}


class ModelError(Exception):
    """The model gave no answer that can be used. The text holds nothing that the endpoint or its user wrote."""


def request(model: str, messages: Sequence[LLMMessage], tools: Sequence[Tool | ToolSchema]) -> dict[str, Any]:
    body: dict[str, Any] = {"model": model, "stream": True, "messages": [one for m in messages for one in _plain(m)]}
    if tools:
        schemas = [tool.schema if isinstance(tool, Tool) else tool for tool in tools]
        body["tools"] = [{"type": "function", "function": schema} for schema in schemas]
    return body


def _plain(message: LLMMessage) -> Iterator[dict[str, Any]]:
    match message:
        case SystemMessage():
            yield {"role": "system", "content": message.content}
        case UserMessage(content=str() as text):
            yield {"role": "user", "content": text}
        case AssistantMessage(content=str() as text):
            yield {"role": "assistant", "content": text}
        case AssistantMessage(content=calls):
            yield {"role": "assistant", "content": message.thought, "tool_calls": [_call(call) for call in calls]}
        case FunctionExecutionResultMessage():
            for result in message.content:
                yield {"role": "tool", "tool_call_id": result.call_id, "content": result.content}
        case _:
            raise TypeError("this team sends text only")


def _call(call: FunctionCall | str) -> dict[str, Any]:
    assert isinstance(call, FunctionCall), "content that is no text is a list of calls"
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


class Lines:
    """Bytes in, the data of server-sent events out. Raises ModelError above a bound."""

    def __init__(self) -> None:
        self._rest = b""
        self._taken = 0

    def feed(self, piece: bytes) -> Iterator[str]:
        self._taken += len(piece)
        *whole, self._rest = (self._rest + piece).split(b"\n")
        if self._taken > ANSWER_BYTES_MAX or len(self._rest) > LINE_BYTES_MAX:
            raise ModelError("the model's answer is too large")
        for line in whole:
            if line.startswith(b"data:"):
                yield line[5:].strip().decode(errors="replace")


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: str = ""


def _word(value: object) -> str:
    """Raises TypeError for what is no text."""
    if value is not None and not isinstance(value, str):
        raise TypeError("not a text")
    return value or ""


@dataclass(slots=True)
class Answer:
    """One answer as it grows. add() gives the new text of a piece; result() the whole. is_over: [DONE] was read."""

    is_over: bool = False
    _text: str = ""
    _half: str = ""
    _finish: str = ""
    _calls: dict[int, _Call] = field(default_factory=dict)
    _usage: RequestUsage = field(default_factory=lambda: RequestUsage(0, 0))

    def add(self, data: str) -> str:
        """Raises ModelError for what is no piece of an answer."""
        if data == "[DONE]":
            self.is_over = True
            return ""
        try:
            piece = json.loads(data)
            if piece.get("error"):
                raise ModelError("the endpoint broke its answer off with an error")
            return self._take(piece)
        except (ValueError, TypeError, AttributeError, KeyError, IndexError):
            raise ModelError("the endpoint sent what is no piece of an answer") from None

    def _take(self, piece: dict[str, Any]) -> str:
        if usage := piece.get("usage"):
            self._usage = RequestUsage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
        if not piece.get("choices"):
            return ""
        choice = piece["choices"][0]
        self._finish = _word(choice.get("finish_reason")) or self._finish
        delta = choice.get("delta") or {}
        for call in delta.get("tool_calls") or ():
            self._take_call(call)
        text = self._whole(delta.get("content") or "")
        self._text += text
        if len(self._text) > ANSWER_CHARS_MAX:
            raise ModelError("the model's answer is too long")
        return text

    def _take_call(self, delta: dict[str, Any]) -> None:
        last = len(self._calls) - 1
        index = int(delta.get("index", last + 1 if delta.get("id") or last < 0 else last))
        call = self._calls.setdefault(index, _Call())
        function = delta.get("function") or {}
        call.id = _word(delta.get("id")) or call.id
        call.name += function.get("name") or ""
        call.arguments += function.get("arguments") or ""
        if len(self._calls) > CALLS_MAX or len(call.name + call.arguments) > ANSWER_CHARS_MAX:
            raise ModelError("the model calls too many tools, or with too much")

    def _whole(self, text: str) -> str:
        """Text without half characters: a surrogate may come in one piece and its other half in the next."""
        text = self._half + text
        self._half = text[-1] if text and "\ud800" <= text[-1] <= "\udbff" else ""
        text = text[: len(text) - len(self._half)]
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @property
    def has_ended(self) -> bool:
        """Whether it said why it stops; not every endpoint sends [DONE] after that."""
        return bool(self._finish)

    def result(self) -> CreateResult:
        """Raises ModelError if nothing came."""
        calls = [
            FunctionCall(id=call.id or f"call_{index}", name=call.name, arguments=call.arguments or "{}")
            for index, call in sorted(self._calls.items())
        ]
        if not calls and not self._text:
            raise ModelError("the model's answer is empty")
        finish = "function_calls" if calls else FINISH.get(self._finish, "unknown")
        thought = self._text if calls and self._text else None
        return CreateResult(
            finish_reason=finish, content=calls or self._text, usage=self._usage, cached=False, thought=thought
        )
