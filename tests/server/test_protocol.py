"""The protocol's rules by themselves: what every frame means in every phase, and what time brings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.records import Outcome
from server import frames
from server.codes import REASON_BYTES_MAX, REMEDIES, Fault
from server.frames import BadFrame, Cmd, Hello, parse
from server.protocol import Abort, Beat, Bucket, Close, ConnectionCore, Deliver, Greet, Phase, Timing, digest

TOKEN = "t" * 43
HELLO = {"t": "hello", "token": TOKEN, "cid": "c1", "n": 1}
CMD = {"t": "cmd", "c": 1, "name": "say", "args": {"text": "hi"}}


def core(*, role: str | None = None, timing: Timing | None = None) -> ConnectionCore:
    """A new connection; with a role, one that was welcomed at 0 s."""
    made = ConnectionCore(0.0, timing or Timing(), lambda: 0.5)
    if role is not None:
        made.on_text(text({**HELLO, "role": role}), 0.0)
        made.welcomed(0.0)
    return made


def text(frame: Any) -> bytes:
    return json.dumps(frame).encode()


def test_a_hello_is_greeted_and_only_then_do_commands_count() -> None:
    """The order every client keeps to."""
    it = core()
    meaning = it.on_text(text({**HELLO, "create": {"team": "chess", "options": {"seed": 7}}}), 1.0)
    assert isinstance(meaning, Greet)
    assert meaning.hello.create is not None
    assert (meaning.hello.create.team, meaning.hello.create.options) == ("chess", {"seed": 7})
    it.welcomed(1.0)
    delivered = it.on_text(text(CMD), 2.0)
    assert isinstance(delivered, Deliver)
    assert (delivered.cmd.to, delivered.cmd.args, delivered.wait_s) == ("/", {"text": "hi"}, 0.0)


@pytest.mark.parametrize(
    "phase, frame, code",
    [
        ("new", CMD, 4400),
        ("greeting", CMD, 4400),
        ("greeting", HELLO, 4400),
        ("open", HELLO, 4400),
        ("new", {"t": "dance"}, 4400),
        ("open", {"t": "dance"}, 4400),
        ("open", [], 4400),
        ("open", {}, 4400),
        ("open", {**CMD, "args": [1]}, 4400),
        ("open", {**CMD, "args": "x"}, 4400),
        ("open", {**CMD, "c": 0}, 4400),
        ("open", {**CMD, "c": True}, 4400),
        ("open", {**CMD, "name": "no such name"}, 4400),
        ("open", {**CMD, "to": "main"}, 4400),
        ("open", {**CMD, "ttl_ms": -1}, 4400),
        ("new", {"t": "hello"}, 4400),
        ("new", {**HELLO, "token": "short"}, 4400),
        ("new", {**HELLO, "cid": None}, 4400),
        ("new", {**HELLO, "role": "admin"}, 4400),
        ("new", {**HELLO, "cur": {"epoch": "e", "seq": -1}}, 4400),
        ("new", {**HELLO, "role": "observe", "create": {}}, 4400),
        ("new", {**HELLO, "auth": "x" * 9000}, 4413),
        ("open", {**CMD, "args": {"text": "x" * 140_000}}, 4413),
    ],
)
def test_what_a_connection_does_not_survive(phase: str, frame: Any, code: int) -> None:
    """A peer that breaks the rules is told once and closed; nothing reaches a session."""
    it = core()
    if phase != "new":
        it.on_text(text(HELLO), 0.0)
    if phase == "open":
        it.welcomed(0.0)
    meaning = it.on_text(text(frame), 0.0)
    assert isinstance(meaning, Close)
    assert meaning.fault.close == code
    assert it.phase is Phase.CLOSED


@pytest.mark.parametrize(
    "given_text",
    [b"", b"{", b"\xff", b"nonsense", b'{"t":"cmd","c":1,"name":"say","args":{"x":NaN}}', b"[" * 100_000, b'"\\ud800"'],
)
def test_what_is_no_json_is_closed_with_4400(given_text: bytes) -> None:
    """Also the forms that some JSON readers take: they could not be stored and sent again unchanged."""
    meaning = core(role="control").on_text(given_text, 0.0)
    assert isinstance(meaning, Close)
    assert (meaning.fault.close, meaning.fault.message) == (4400, "the frame is not JSON")


def test_a_binary_message_is_no_frame() -> None:
    """One JSON object per text frame."""
    meaning = core(role="control").on_binary(0.0)
    assert isinstance(meaning, Close)
    assert meaning.fault.close == 4400


def test_values_may_be_nested_only_so_deep() -> None:
    """Every reader and writer on the way has to take what one took."""
    deep: Any = 1
    for _ in range(frames.NESTING_MAX + 1):
        deep = {"a": deep}
    with pytest.raises(BadFrame, match="nested"):
        parse(text({**CMD, "args": deep}))


def test_a_large_command_is_answered_and_the_connection_lives() -> None:
    """Rule 14: 64 KiB is a command's limit, 128 KiB the socket's."""
    it = core(role="control")
    meaning = it.on_text(text({**CMD, "args": {"text": "x" * 70_000}}), 0.0)
    assert isinstance(meaning, Deliver)
    assert meaning.refused is not None
    assert meaning.refused.code == "too_large"
    assert it.phase is Phase.OPEN


def test_unknown_fields_are_ignored() -> None:
    """An older server understands a newer client."""
    assert isinstance(parse(text({**CMD, "later": [1]})), Cmd)
    assert isinstance(parse(text({**HELLO, "later": {}})), Hello)


def test_a_burst_passes_and_then_the_rate_makes_wait() -> None:
    """Over the rate a command waits; it is not refused (rule 4)."""
    it = core(role="control", timing=Timing(commands_per_s=50, commands_burst=100))
    waits = [it.on_text(text(CMD), 10.0) for _ in range(150)]
    assert all(isinstance(item, Deliver) for item in waits)
    seconds = [item.wait_s for item in waits if isinstance(item, Deliver)]
    assert seconds[:100] == [0.0] * 100
    assert seconds[100] == pytest.approx(0.02)
    assert seconds[149] == pytest.approx(1.0)


@given(st.lists(st.floats(0, 0.5), min_size=1, max_size=300))
def test_the_rate_holds_for_any_order_of_arrivals(gaps: list[float]) -> None:
    """What passes within any time never exceeds the burst and what the rate gives in it."""
    bucket, now, passed = Bucket(50, 100, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        passed.append(now + bucket.take(now))
    for n, at in enumerate(passed):
        assert n + 1 <= 100 + 50 * at + 1e-6


def test_pings_of_a_client_are_under_the_rate_too() -> None:
    """A flood of them would be a way around it."""
    it = core(role="control", timing=Timing(commands_per_s=50, commands_burst=10))
    assert [it.on_life(0.0) for _ in range(11)][-1] > 0


def test_ttl_0_asks_and_applies_nothing() -> None:
    """Rule 4; and a command that waited for longer than it may live is late too."""
    it = core(role="control")
    asks = it.on_text(text({**CMD, "ttl_ms": 0}), 5.0)
    waits = it.on_text(text({**CMD, "ttl_ms": 100}), 5.0)
    assert isinstance(asks, Deliver)
    assert asks.is_expired(5.0)
    assert isinstance(waits, Deliver)
    assert not waits.is_expired(5.05)
    assert waits.is_expired(5.1)


def test_the_digest_tells_content_apart_and_nothing_else() -> None:
    """A resend with less time to live, or keys in another order, is the same command."""
    first = digest("say", {"a": 1, "b": [2]}, "/")
    assert first == digest("say", {"b": [2], "a": 1}, "/")
    assert len({first, digest("say", {"a": 1}, "/"), digest("tell", {"a": 1, "b": [2]}, "/")}) == 3
    assert first != digest("say", {"a": 1, "b": [2]}, "/main")


def test_a_connection_that_never_says_hello_is_closed() -> None:
    """10 s from accept, in all."""
    it = core()
    assert it.due(9.9, written=0, unsent=0) is None
    due = it.due(10.0, written=0, unsent=0)
    assert isinstance(due, Close)
    assert due.fault.close == 4108


def test_heartbeats_have_jitter_and_a_first_one_of_their_own() -> None:
    """First uniform in a half to a whole period, then every period plus or minus a tenth."""
    for random, first, second in ((0.0, 5.0, 9.0), (0.5, 7.5, 10.0), (1.0, 10.0, 11.0)):
        it = ConnectionCore(0.0, Timing(), lambda random=random: random)  # type: ignore[misc]
        it.on_text(text(HELLO), 0.0)
        it.welcomed(0.0)
        assert it.due(first - 0.01, written=0, unsent=0) is None
        assert isinstance(it.due(first, written=0, unsent=0), Beat)
        assert it.due(first + second - 0.01, written=0, unsent=0) is None
        assert isinstance(it.due(first + second, written=0, unsent=0), Beat)


def test_silence_for_25_seconds_is_death() -> None:
    """L10; a pong is a sign of life."""
    it = core(role="control")
    it.on_life(20.0)
    assert not isinstance(it.due(44.9, written=0, unsent=0), Abort)
    assert isinstance(it.due(45.0, written=0, unsent=0), Abort)
    assert it.due(99.0, written=0, unsent=0) is None


def test_a_peer_that_we_do_not_read_is_not_silent_at_once_nor_alive_for_ever() -> None:
    """While commands wait for the rate or for room nothing is read, pongs included (L10)."""
    it = core(role="control")
    it.held(20.0)
    assert not isinstance(it.due(44.9, written=0, unsent=0), Abort)
    it.held(44.9)
    assert not isinstance(it.due(69.8, written=0, unsent=0), Abort)
    assert isinstance(it.due(69.9, written=0, unsent=0), Abort)


def test_a_write_without_progress_for_15_seconds_is_death() -> None:
    """A frozen peer that was heard a moment ago; any progress starts the time anew."""
    it = core(role="control")
    it.due(1.0, written=1000, unsent=1000)
    it.on_life(14.0)
    assert not isinstance(it.due(14.0, written=1000, unsent=900), Abort)
    assert not isinstance(it.due(28.9, written=2000, unsent=1900), Abort)
    assert isinstance(it.due(29.0, written=2000, unsent=1900), Abort)


def test_five_seconds_after_the_end_was_sent_comes_4500() -> None:
    """Rule 11: time to read it and to leave by oneself."""
    it = core(role="control")
    it.ended(1.0)
    it.ended(3.0)
    assert it.due(5.9, written=0, unsent=0) is None
    due = it.due(6.0, written=0, unsent=0)
    assert isinstance(due, Close)
    assert due.fault.close == 4500


@pytest.mark.parametrize("name", REMEDIES)
def test_every_fault_fits_a_close_frame_and_keeps_its_range(name: str) -> None:
    """aiohttp sends a broken frame for a reason above 123 bytes; the range is what a client does."""
    fault = Fault(name, "ä" * 200)
    assert len(fault.reason) <= REASON_BYTES_MAX
    assert fault.reason.decode()
    assert (fault.close // 100 == 41) <= (fault.retry_ms is not None)


def test_a_result_says_what_became_of_a_command() -> None:
    """M5: never a bare false."""
    done = json.loads(frames.res(3, Outcome("done", value={"x": 1}, seq=9)))
    assert done == {"t": "res", "c": 3, "ok": True, "seq": 9, "val": {"x": 1}}
    again = json.loads(frames.res(3, Outcome("done", seq=9, is_duplicate=True)))
    assert again == {"t": "res", "c": 3, "ok": True, "seq": 9, "dup": True}
    refused = json.loads(frames.res(4, Outcome("refused", "guard", "not your turn")))
    assert refused == {"t": "res", "c": 4, "ok": False, "err": {"code": "guard", "msg": "not your turn"}}
    deferred = json.loads(frames.res(5, Outcome("deferred")))
    assert deferred == {"t": "res", "c": 5, "ok": True, "val": {"deferred": True}}


def test_an_event_too_large_for_a_frame_says_where_to_read_it() -> None:
    """No server frame over 256 KiB."""
    update = text({"seq": 7, "ts": 1.0, "kind": "agent.message", "data": {"text": "x" * 300_000}})
    frame = json.loads(frames.ev(frames.truncated("s.abc", 7, update)))
    assert frame["seq"] == 7
    assert frame["data"] == {"truncated": True, "href": "/v1/sessions/s.abc/log?after=6&limit=1"}
