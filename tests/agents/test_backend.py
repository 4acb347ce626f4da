"""The backend's contract: what AutoGen's own runtime does not promise, and this one does."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hostile import TEAM as HOSTILE
from hostile import Go, Hostile
from patience import under_way, until

from engine.errors import HandlerFailed, LimitExceeded
from handlers.backend import Envelope, Limits, SessionClosed
from handlers.team import PersonSaid


async def test_a_reply_holds_everything_the_handler_did(stage: Any) -> None:
    """What is not in the reply could not be committed together with it."""
    backend = await stage.start(HOSTILE, ways=["healthy"])
    reply = await stage.send(backend, "a0", Go())
    assert reply.outcome == "done"
    assert list(reply.emits) == [("agent.message", {"agent": "a0", "text": "well"})]
    assert reply.state == {"said": ["go"]}


async def test_a_reply_s_state_does_not_change_afterwards(stage: Any) -> None:
    """AutoGen's saved state aliases live lists; a snapshot that goes on living is none."""
    backend = await stage.start(HOSTILE, ways=["healthy"])
    first = await stage.send(backend, "a0", Go())
    snapshot = await backend.snapshot()
    await stage.send(backend, "a0", PersonSaid(text="more"))
    assert first.state == {"said": ["go"]}
    assert json.loads(snapshot) == {"a0": {"said": ["go"]}}


async def test_restore_is_all_or_nothing(stage: Any) -> None:
    """Half a restored team would play a game that never was."""
    backend = await stage.start(HOSTILE, ways=["healthy", "healthy"])
    await stage.send(backend, "a0", Go())
    good = await backend.snapshot()
    await stage.send(backend, "a1", Go())
    bad = json.dumps({"a0": {"said": ["x"]}, "a1": {"nothing": 1}}).encode()
    with pytest.raises(KeyError):
        await backend.restore(bad)
    assert json.loads(await backend.snapshot()) == {"a0": {"said": ["go"]}, "a1": {"said": ["go"]}}
    await backend.restore(good)
    assert await backend.snapshot() == good
    assert (await stage.send(backend, "a1", Go())).state == {"said": ["go"]}


async def test_callers_are_told_when_the_backend_stops(stage: Any, nothing_left: Any) -> None:
    """The runtime's stop() left 50 of 50 queued callers waiting for ever."""
    backend = await stage.start(HOSTILE, ways=["sleeps", "swallows_cancellation", "healthy"])
    calls = [asyncio.create_task(stage.send(backend, name, Go())) for name in ("a0", "a1", "a0", "a1")]
    await under_way(backend, 2)
    await backend.stop()
    ends = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(end) for end in ends] == [SessionClosed] * 4
    del calls, ends
    await nothing_left(backend)


async def test_a_stopped_backend_takes_nothing(stage: Any) -> None:
    """A send to a stopped runtime of AutoGen hangs."""
    backend = await stage.start(HOSTILE, ways=["healthy"])
    await backend.stop()
    with pytest.raises(SessionClosed):
        await stage.send(backend, "a0", Go())
    with pytest.raises(SessionClosed):
        backend.open()


async def test_stop_twice_is_stop_once(stage: Any) -> None:
    """The engine calls it again if the first call was cut short."""
    backend = await stage.start(HOSTILE, ways=["healthy"])
    assert (await backend.stop()).is_clean
    assert (await backend.stop()).is_clean
    assert backend.is_gone


async def test_a_stop_that_is_cut_short_is_finished_by_force(stage: Any, nothing_left: Any) -> None:
    """Clean-up is bounded by its time-out, and what comes after it must not wait."""
    stage.limits = Limits(grace_s=30.0, drain_s=30.0)
    backend = await stage.start(HOSTILE, ways=["swallows_cancellation"])
    call = asyncio.create_task(stage.send(backend, "a0", Go()))
    await under_way(backend)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(backend.stop(), 0.05)
    assert not backend.is_gone
    assert backend.abandon().forced == ("a0",)
    with pytest.raises(SessionClosed):
        await call
    del call
    await nothing_left(backend)
    assert backend.is_gone


async def test_one_agent_s_close_is_its_own_affair(stage: Any, nothing_left: Any) -> None:
    """In AutoGen one that raises skips the rest, and one that hangs hangs all."""
    backend = await stage.start(HOSTILE, ways=["hangs_in_close", "raises_in_close", "healthy"])
    report = await backend.stop()
    assert sorted(report.errors) == ["a0: close() did not end in time", "a1: close() raised RuntimeError"]
    assert report.left == ()
    await nothing_left(backend)


async def test_one_agent_handles_one_message_at_a_time(stage: Any) -> None:
    """AutoGen runs an agent's handlers side by side; state written by two at once is nobody's."""
    backend = await stage.start(HOSTILE, ways=["healthy"])
    replies = await asyncio.gather(*(stage.send(backend, "a0", PersonSaid(text=str(n))) for n in range(5)))
    assert [reply.state["said"] for reply in replies] == [[str(n) for n in range(k + 1)] for k in range(5)]


async def test_a_time_out_ends_the_handler_and_names_the_agent(stage: Any, nothing_left: Any) -> None:
    """A hostile handler costs its own time-out (C4)."""
    stage.limits = Limits(operation_s=0.05, grace_s=0.05)
    backend = await stage.start(HOSTILE, ways=["swallows_everything"])
    with pytest.raises(HandlerFailed) as caught:
        await stage.send(backend, "a0", Go())
    assert (caught.value.code, caught.value.handler) == ("timeout", "a0")
    report = await backend.stop()
    assert report.forced == ("a0",)
    del caught
    await nothing_left(backend)


async def test_after_a_failure_the_agent_is_made_anew(stage: Any) -> None:
    """Half a handler's changes would be in the next reply's state."""
    backend = await stage.start(HOSTILE, ways=["raises"])
    with pytest.raises(RuntimeError):
        await stage.send(backend, "a0", Go())
    with pytest.raises(HandlerFailed):
        await stage.send(backend, "a0", PersonSaid(text="hello"))
    assert await backend.seat("a0", {"said": ["before"]})
    assert (await stage.send(backend, "a0", PersonSaid(text="hello"))).state == {"said": ["before", "hello"]}


async def test_cancelling_a_delivery_ends_the_handler_without_anyone_waiting(stage: Any, nothing_left: Any) -> None:
    """Leaving `busy` cancels the activity, which may not wait for a handler that does not want to end."""
    backend = await stage.start(HOSTILE, ways=["swallows_cancellation"])
    call = asyncio.create_task(stage.send(backend, "a0", Go()))
    await under_way(backend)
    operation = next(iter(backend.jobs.values())).operation
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(HandlerFailed):
        await asyncio.wait_for(asyncio.shield(operation.outcome), 1.0)
    assert operation.was_forced
    assert not backend.jobs


async def test_sys_exit_is_the_agent_s_failure_only(stage: Any) -> None:
    """It would end the server."""
    backend = await stage.start(HOSTILE, ways=["exits", "healthy"])
    with pytest.raises(HandlerFailed, match="SystemExit"):
        await stage.send(backend, "a0", Go())
    assert (await stage.send(backend, "a1", Go())).outcome == "done"


async def test_errors_do_not_hurt_the_next_caller(stage: Any) -> None:
    """With ignore_unhandled_exceptions=False the next healthy message of a runtime hangs its caller."""
    backend = await stage.start(HOSTILE, ways=["raises", "healthy"])
    for _ in range(3):
        with pytest.raises(RuntimeError):
            await stage.send(backend, "a0", Go())
        await backend.seat("a0", None)
        assert (await stage.send(backend, "a1", Go())).outcome == "done"


@pytest.mark.parametrize("way", ["floods", "returns_nonsense"])
async def test_what_no_reply_may_hold_fails_the_handler(stage: Any, way: str) -> None:
    """Everything that can grow has a limit."""
    backend = await stage.start(HOSTILE, ways=[way])
    with pytest.raises(HandlerFailed) as caught:
        await stage.send(backend, "a0", Go())
    assert caught.value.code == "nonsense"


async def test_the_number_of_handlers_is_bounded(stage: Any) -> None:
    """AutoGen's queue is not."""
    stage.limits = Limits(in_flight=1, grace_s=0.05, drain_s=0.01)
    backend = await stage.start(HOSTILE, ways=["sleeps", "healthy"])
    call = asyncio.create_task(stage.send(backend, "a0", Go()))
    await under_way(backend)
    with pytest.raises(LimitExceeded):
        await stage.send(backend, "a1", Go())
    await backend.stop()
    with pytest.raises(SessionClosed):
        await call


async def test_quiesce_hands_back_what_never_began(stage: Any) -> None:
    """A session that moves takes them along."""
    backend = await stage.start(HOSTILE, ways=["healthy"])
    call = asyncio.create_task(stage.send(backend, "a0", Go()))
    await until(lambda: bool(backend.jobs))
    is_idle, undelivered = await backend.quiesce(1.0)
    assert is_idle
    assert undelivered == [Envelope("a0", HOSTILE.encode(Go()))]
    with pytest.raises(SessionClosed):
        await call


async def test_two_runtimes_never_cross(stage: Any, nothing_left: Any) -> None:
    """A topic of another session is no topic here (C7)."""
    one = await stage.start(HOSTILE, ways=["publishes_elsewhere"])
    other = await stage.start(HOSTILE, sid="s.another", ways=["healthy"])
    with pytest.raises(PermissionError):
        await stage.send(one, "a0", Go())
    assert (await stage.send(other, "a0", Go())).state == {"said": ["go"]}
    await one.stop()
    assert (await stage.send(other, "a0", Go())).state == {"said": ["go", "go"]}
    await other.stop()
    await nothing_left(one, other)


async def test_a_handler_that_is_over_has_no_effect(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """M4: what a task that outlived its handler publishes or emits reaches nobody."""
    go_on = asyncio.Event()
    late: list[asyncio.Task[None]] = []

    async def leaves_a_task(self: Hostile, message: Go, ctx: Any) -> None:
        async def later() -> None:
            await go_on.wait()
            self._seat.emit("agent.message", {"text": "late"})

        late.append(asyncio.create_task(later()))

    backend = await stage.start(HOSTILE, ways=["healthy"])
    agent = backend.agents["a0"].inner
    monkeypatch.setitem(agent._handlers, Go, [_Handler(leaves_a_task)])
    await stage.send(backend, "a0", Go())
    go_on.set()
    with pytest.raises(Exception, match="is over"):
        await late[0]


class _Handler:
    """A handler put into an agent's table from outside."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def router(self, message: Any, ctx: Any) -> bool:
        return True

    def __call__(self, agent: Any, message: Any, ctx: Any) -> Any:
        return self._function(agent, message, ctx)


async def test_health_shows_what_is_at_work_and_what_does_not_end(stage: Any) -> None:
    """R1: dead or slow is told apart by this."""
    backend = await stage.start(HOSTILE, ways=["swallows_cancellation"])
    call = asyncio.create_task(stage.send(backend, "a0", Go()))
    await under_way(backend)
    (before,) = backend.health()
    call.cancel()
    await asyncio.wait({call})
    (after,) = backend.health()
    assert (before.in_flight, before.zombies) == (1, 0)
    assert (after.in_flight, after.zombies) == (1, 1)


async def test_an_agent_let_go_leaves_no_trace_in_the_runtime(stage: Any) -> None:
    """AutoGen has no public way to remove an agent; instances grow for ever."""
    backend = await stage.start(HOSTILE, ways=["healthy", "healthy"])
    for _ in range(5):
        await backend.dismiss("a0")
        assert not backend.has_agent("a0")
        await backend.seat("a0", None)
    runtime = backend.runtime
    subscriptions = runtime._subscription_manager.subscriptions
    sizes = [len(runtime._instantiated_agents), len(runtime._agent_factories), len(subscriptions)]
    assert sizes == [2, 2, 2]
    assert (await stage.send(backend, "a0", Go())).outcome == "done"
