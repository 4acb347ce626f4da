"""The client of a model's endpoint, against a real server that speaks OpenAI's wire: what is sent, what comes back, and
that every wait and size has a bound."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from aiohttp import web
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import FunctionTool
from fake_model import DONE, KEY, FakeModel, call, event, fake_model, say

from examples.support import make_team
from examples.support.endpoint import Endpoint
from examples.support.messages import CONTEXT_BYTES_MAX, trimmed
from examples.support.openai import OpenAIClient
from examples.support.wire import ANSWER_BYTES_MAX, Answer, Lines, ModelError, request

HELLO = [UserMessage(content="hello", source="me")]


async def talk(model: FakeModel, **limits: Any) -> tuple[list[str], CreateResult]:
    client: ChatCompletionClient = OpenAIClient(model.endpoint(**limits))
    pieces: list[str] = []
    async for piece in client.create_stream(HELLO):
        if isinstance(piece, CreateResult):
            return pieces, piece
        pieces.append(piece)
    raise AssertionError("a stream ends with its result")


async def test_an_answer_comes_in_pieces() -> None:
    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await say(response, "Good ", "morning", ".")

    async with fake_model(answer) as model:
        pieces, result = await talk(model)
        assert pieces == ["Good ", "morning", "."]
        assert (result.content, result.finish_reason) == ("Good morning.", "stop")
        assert model.keys == {f"Bearer {KEY}"}
        assert model.requests[0] == {
            "model": "fake-1",
            "stream": True,
            "messages": [{"role": "user", "content": "hello"}],
        }


async def test_a_tool_is_called() -> None:
    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await call(response, "find_item", '{"query": "lamp"}')

    async with fake_model(answer) as model:
        _, result = await talk(model)
        assert result.content == [FunctionCall(id="call_1", name="find_item", arguments='{"query": "lamp"}')]
        assert result.finish_reason == "function_calls"


async def test_a_server_in_trouble_is_asked_again() -> None:
    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await say(response, "here")

    async with fake_model(answer) as model:
        model.refusals = [503, 429]
        _, result = await talk(model)
        assert (result.content, len(model.requests)) == ("here", 3)
        model.refusals = [503, 503, 503]
        with pytest.raises(ModelError, match="503"):
            await talk(model)


async def test_a_refusal_is_final_and_the_key_is_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """Not in the error, not in the log, not in what the settings look like."""
    caplog.set_level(logging.DEBUG)

    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        raise AssertionError("it was refused")

    async with fake_model(answer) as model:
        model.refusals = [401]
        with pytest.raises(ModelError) as caught:
            await talk(model)
        assert len(model.requests) == 1
        assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {caplog.text} {model.endpoint()!r}"


async def test_silence_has_a_bound() -> None:
    hang = asyncio.Event()

    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await response.write(event({"content": "well"}))
        await hang.wait()

    async with fake_model(answer) as model:
        async with asyncio.timeout(5):
            with pytest.raises(ModelError):
                await talk(model, idle_s=0.05)
        assert len(model.requests) == 1, "half an answer is not asked for again"


async def test_nobody_there() -> None:
    endpoint = Endpoint(base_url="http://127.0.0.1:1/v1", model="m", attempts=2, backoff_s=0)
    with pytest.raises(ModelError, match="cannot be reached"):
        await OpenAIClient(endpoint).create(HELLO)


async def test_an_endless_answer_is_broken_off() -> None:
    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        while True:
            await response.write(event({"content": "x" * 1000}))

    async with fake_model(answer) as model:
        with pytest.raises(ModelError, match="too long"):
            await talk(model)


@pytest.mark.parametrize("garbage", [b"data: {nonsense\n\n", b"data: [1]\n\n", b'data: {"choices": [[]]}\n\n'])
async def test_what_is_no_answer_is_an_error(garbage: bytes) -> None:
    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await response.write(garbage)

    async with fake_model(answer) as model:
        with pytest.raises(ModelError, match="no piece"):
            await talk(model)


async def test_an_end_without_done_counts_if_the_model_said_why() -> None:
    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        await response.write(event({"content": "short"}, "stop"))

    async with fake_model(answer) as model:
        assert (await talk(model))[1].content == "short"


async def test_a_redirect_is_not_followed() -> None:
    """It could carry the key to another host."""

    async def answer(body: dict[str, Any], response: web.StreamResponse) -> None:
        raise AssertionError("nobody comes here")

    async with fake_model(answer) as model:
        model.refusals = [307]
        with pytest.raises(ModelError, match="307"):
            await talk(model)


# Pure


def test_the_conversation_as_openai_has_it() -> None:
    async def find(query: str) -> str:
        return query

    messages = [
        SystemMessage(content="be kind"),
        *HELLO,
        AssistantMessage(content=[FunctionCall(id="c1", name="find", arguments="{}")], thought="hm", source="a"),
        FunctionExecutionResultMessage(
            content=[FunctionExecutionResult(content="found", name="find", call_id="c1", is_error=False)]
        ),
        AssistantMessage(content="there", source="a"),
    ]
    body = request("m", messages, [FunctionTool(find, "finds")])
    roles = [one["role"] for one in body["messages"]]
    assert roles == ["system", "user", "assistant", "tool", "assistant"]
    assert body["messages"][2]["tool_calls"][0]["function"] == {"name": "find", "arguments": "{}"}
    assert body["messages"][3]["tool_call_id"] == "c1"
    assert body["tools"][0]["function"]["name"] == "find"
    json.dumps(body)


def test_lines_may_be_cut_anywhere() -> None:
    whole = event({"content": "grüße 🎉"}) + b": a comment\r\n\r\n" + DONE
    for cut in range(len(whole)):
        lines = Lines()
        found = [*lines.feed(whole[:cut]), *lines.feed(whole[cut:])]
        assert len(found) == 2
        assert Answer().add(found[0]) == "grüße 🎉"


def test_half_a_character_waits_for_its_other_half() -> None:
    """Some endpoints cut between surrogates; the log takes whole characters only."""
    answer = Answer()
    first = answer.add('{"choices": [{"delta": {"content": "a\\ud83c"}}]}')
    second = answer.add('{"choices": [{"delta": {"content": "\\udf89b"}}]}')
    lone = answer.add('{"choices": [{"delta": {"content": "\\udf89"}}]}')
    assert (first, second, lone) == ("a", "🎉b", "\ufffd")


def test_more_than_the_wire_may_take_is_refused() -> None:
    lines = Lines()
    for _ in range(ANSWER_BYTES_MAX // 50_000):
        list(lines.feed(b"x" * 49_999 + b"\n"))
    with pytest.raises(ModelError, match="too large"):
        list(lines.feed(b"x" * 50_000))


@pytest.mark.parametrize(
    "environment, complaint",
    [
        ({"BASE_URL": "ftp://x"}, "BASE_URL is no http"),
        ({"BASE_URL": "http://x/v1"}, "MODEL"),
        ({"BASE_URL": f"http://me:{KEY}@x/v1", "MODEL": "m"}, "API_KEY is the place"),
    ],
)
def test_a_configuration_that_cannot_work_says_so(environment: dict[str, str], complaint: str) -> None:
    named = {f"STEWARD_SUPPORT_{name}": value for name, value in environment.items()}
    with pytest.raises(ValueError, match=complaint) as caught:
        Endpoint.from_environment(named)
    assert KEY not in str(caught.value)


def test_without_an_address_there_is_no_endpoint() -> None:
    assert Endpoint.from_environment({"STEWARD_SUPPORT_API_KEY": KEY}) is None
    assert make_team(None).name == "support"


@pytest.mark.parametrize(
    "choice",
    [
        {"delta": {"content": "x"}, "finish_reason": {"a": 1}},
        {"delta": {"tool_calls": [{"index": 0, "id": 7, "function": {"name": "f"}}]}},
    ],
)
def test_what_an_endpoint_sends_of_a_wrong_type_is_a_models_error(choice: dict[str, Any]) -> None:
    """At once, as it comes: what is told to the customer then is SORRY, and the handler does not fail."""
    with pytest.raises(ModelError):
        Answer().add(json.dumps({"choices": [choice]}))


def test_a_question_is_kept_though_its_results_are_too_much() -> None:
    """A desk that forgets everything without a word would answer nothing."""
    asked = UserMessage(content="and now?", source="ann")
    results = [AssistantMessage(content="x" * CONTEXT_BYTES_MAX, source="sales")]
    assert trimmed([UserMessage(content="before", source="ann"), asked, *results]) == [asked]
