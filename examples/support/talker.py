"""An agent that talks through a model: it streams its answer, uses its tools and hands the customer on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from autogen_core import CancellationToken, FunctionCall, RoutedAgent, TopicId
from autogen_core.models import (
    AssistantMessage,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
)
from autogen_core.tools import FunctionTool

from handlers.stream import Stream
from handlers.team import NeedsInput, Seat, TeamMessage

from .messages import TEXT_CHARS_MAX, TRIAGE, AgentResponse, CustomerTask, trimmed
from .openai import Counted
from .wire import ModelError

ROUNDS_MAX: Final = 6  # of tools in one answer; a model that wants more goes in circles
SORRY: Final = "I cannot answer just now. Please say that again in a moment."
log = logging.getLogger("steward.support")


class Talker(RoutedAgent):
    """hands_to: the tool that hands the customer on -> the topic of the agent who takes over."""

    def __init__(
        self,
        seat: Seat,
        client: Counted,
        description: str,
        system: str,
        tools: Sequence[FunctionTool] = (),
        hands_to: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(description)
        self._seat = seat
        self._client = client
        self._system = SystemMessage(content=system)
        self._tools = {tool.name: tool for tool in tools}
        self._hands_to = dict(hands_to or {})
        hand_overs = [_hand_over(name, topic) for name, topic in self._hands_to.items()]
        self._known = [*tools, *hand_overs]

    async def converse(self, context: list[LLMMessage], stream: Stream) -> NeedsInput | None:
        """Answer the end of a conversation: with text, after tools, or by handing it on."""
        for _ in range(ROUNDS_MAX):
            try:
                result = await self._ask(context, stream)
            except ModelError as error:
                log.warning("%s of %s has no answer: %s", self._seat.name, self._seat.sid, error)
                stream.rewind()
                await self._give_up(context, stream, "model")
                return None
            if isinstance(result.content, str):
                context.append(AssistantMessage(content=result.content, source=self._seat.name))
                stream.finish(model=self._client.label)
                await self.answered(context)
                return None
            context.append(AssistantMessage(content=result.content, thought=result.thought, source=self._seat.name))
            is_over, question = await self.use_tools(context, result.content, stream)
            if is_over:
                return question
        await self._give_up(context, stream, "rounds")
        return None

    async def _ask(self, context: Sequence[LLMMessage], stream: Stream) -> CreateResult:
        async for piece in self._client.create_stream([self._system, *context], tools=self._known):
            if isinstance(piece, CreateResult):
                return piece
            stream.write(piece)
        raise ModelError("the model's answer has no end")

    async def _give_up(self, context: list[LLMMessage], stream: Stream, code: str) -> None:
        stream.write((" " if stream.text else "") + SORRY)
        stream.finish(model=self._client.label, error={"code": code, "ref": ""})
        await self.answered(context)

    async def use_tools(
        self, context: list[LLMMessage], calls: Sequence[FunctionCall], stream: Stream
    ) -> tuple[bool, NeedsInput | None]:
        """(whether the handler is over, what it asks a person)."""
        results, topic = [], None
        for call in calls:
            if call.name in self._hands_to and topic is None:
                topic = self._hands_to[call.name]
                results.append(_result(call, f"Handed over to {topic}, who goes on from here."))
            else:
                results.append(await self.use_tool(call))
        context.append(FunctionExecutionResultMessage(content=results))
        if topic is None:
            return False, None
        if stream.text:
            stream.finish(model=self._client.label)
        self._seat.emit("agent.handoff", {"agent": self._seat.name, "to": topic})
        await self.hand_over(topic, trimmed(context))
        return True, None

    async def hand_over(self, topic: str, context: list[LLMMessage]) -> None:
        await self.tell(topic, CustomerTask(context=tuple(context)))

    async def use_tool(self, call: FunctionCall, **shown: Any) -> FunctionExecutionResult:
        """Run it, and tell clients what came of it. shown: what else they are told."""
        result = await self._run(call)
        told = {"agent": self._seat.name, "call": call.id, "name": call.name, "arguments": call.arguments}
        self._seat.emit("agent.tool", {**told, "result": result.content, "ok": not result.is_error, **shown})
        return result

    async def _run(self, call: FunctionCall) -> FunctionExecutionResult:
        tool = self._tools.get(call.name)
        if tool is None:
            return _result(call, "there is no such tool here now", is_error=True)
        try:
            arguments = json.loads(call.arguments)
            value = await tool.run_json(arguments, CancellationToken())
        except (ValueError, TypeError) as error:  # what the model gave; pydantic's errors are ValueErrors
            return _result(call, f"{type(error).__name__}: {error}", is_error=True)
        return _result(call, tool.return_value_as_string(value))

    async def answered(self, context: list[LLMMessage]) -> None:
        """The customer stays with this agent until it hands them on."""
        await self.tell(TRIAGE, AgentResponse(context=tuple(trimmed(context))))

    async def tell(self, topic: str, message: TeamMessage) -> None:
        await self.publish_message(message, TopicId(self._seat.topic(topic), self._seat.sid))


def _result(call: FunctionCall, content: str, *, is_error: bool = False) -> FunctionExecutionResult:
    return FunctionExecutionResult(content=content[:TEXT_CHARS_MAX], name=call.name, call_id=call.id, is_error=is_error)


def _hand_over(name: str, topic: str) -> FunctionTool:
    async def hand_over() -> str:
        return topic

    return FunctionTool(hand_over, f"Hand the customer over to {topic}. Only for what is {topic}'s to do.", name=name)
