"""A ChatCompletionClient for any endpoint that speaks OpenAI's wire, with every wait and every size bounded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

import aiohttp
from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from .endpoint import Endpoint
from .wire import Answer, Lines, ModelError, request

# Worth another attempt: too many requests, or a server that is having a bad moment.
LEFT_S_MIN: Final = 0.001
PASSING: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
INFO: Final = ModelInfo(
    vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False
)
log = logging.getLogger("steward.support")


class _Passing(Exception):
    """A failure that may be over at the next attempt. The text is ours."""


class Counted(ChatCompletionClient):
    """What every client of a team says about itself; usage is counted, tokens are not."""

    component_type = "model"
    component_config_schema = BaseModel
    label = ""  # what clients of a session are told about who answered

    def __init__(self) -> None:
        self._actual = RequestUsage(0, 0)
        self._total = RequestUsage(0, 0)

    def _count(self, result: CreateResult) -> CreateResult:
        self._actual = result.usage
        self._total = RequestUsage(
            self._total.prompt_tokens + result.usage.prompt_tokens,
            self._total.completion_tokens + result.usage.completion_tokens,
        )
        return result

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Any = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        async for piece in self.create_stream(messages, tools=tools):
            if isinstance(piece, CreateResult):
                return piece
        raise ModelError("the model's answer has no end")

    async def close(self) -> None:
        """Nothing is kept between two answers."""

    def actual_usage(self) -> RequestUsage:
        return self._actual

    def total_usage(self) -> RequestUsage:
        return self._total

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        """A rough measure: four characters a token."""
        return sum(len(message.model_dump_json()) for message in messages) // 4

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return max(0, 128_000 - self.count_tokens(messages, tools=tools))

    @property
    def capabilities(self) -> ModelInfo:
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return INFO


class OpenAIClient(Counted):
    """One for each agent. A connection lives as long as one answer: cancelling the handler closes it, and no session
    shares one with another."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.label = endpoint.model
        self._endpoint = endpoint

    def _timeout(self, until: float) -> aiohttp.ClientTimeout:
        left_s = max(until - asyncio.get_running_loop().time(), LEFT_S_MIN)  # to aiohttp, 0 means no bound
        return aiohttp.ClientTimeout(
            total=left_s, sock_connect=self._endpoint.connect_s, sock_read=self._endpoint.idle_s
        )

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
        """Text as it comes, then the whole. Raises ModelError; what has been given out by then is void."""
        body = request(self._endpoint.model, messages, tools)
        until = asyncio.get_running_loop().time() + self._endpoint.total_s  # of all attempts together
        for attempt in range(1, self._endpoint.attempts + 1):
            has_begun = False
            try:
                async for piece in self._answer(body, until):
                    has_begun = True
                    yield piece
                return
            except (_Passing, aiohttp.ClientError, TimeoutError) as error:
                # Of errors of the library only the kind: its texts name addresses, and may one day name more.
                said = str(error) if isinstance(error, _Passing) else type(error).__name__
                log.warning("the model did not answer (attempt %d): %s", attempt, said)
                is_last = attempt == self._endpoint.attempts or asyncio.get_running_loop().time() >= until
                if has_begun or is_last:
                    raise ModelError(f"the model cannot be reached: {said}") from None
            await asyncio.sleep(self._endpoint.backoff_s * 2 ** (attempt - 1))

    async def _answer(self, body: Mapping[str, Any], until: float) -> AsyncGenerator[str | CreateResult, None]:
        key = self._endpoint.api_key.get_secret_value()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{self._endpoint.base_url}/chat/completions"
        async with (
            aiohttp.ClientSession(timeout=self._timeout(until)) as session,
            # A redirect could carry the key to another host.
            session.post(url, json=body, headers=headers, allow_redirects=False) as response,
        ):
            if response.status in PASSING:
                raise _Passing(f"status {response.status}")
            if response.status != 200:
                raise ModelError(f"the endpoint refused the request: status {response.status}")
            answer, lines = Answer(), Lines()
            async for block in response.content.iter_any():
                for data in lines.feed(block):
                    if text := answer.add(data):
                        yield text
                    if answer.is_over:
                        yield self._count(answer.result())
                        return
            if not answer.has_ended:
                raise _Passing("its answer broke off")
            yield self._count(answer.result())
