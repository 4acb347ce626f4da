"""What a client is told instead of updates that are gone: as if it had applied them all, and bounded."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.codec import decode, encode
from engine.log.view import ACTORS_MAX, EVENT_BYTES_MAX, MESSAGES_MAX, REQUESTS_MAX, View
from engine.records import Update

FRAME = 256 * 1024
PATHS = ("/", "/main", "/main/a", "/main/b", "/other")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)
STATE = st.fixed_dictionaries(
    {"actor": st.sampled_from(PATHS), "from": st.just("x"), "to": st.sampled_from("abc"), "event": st.just("go")},
    optional={"final": st.booleans()},
)
REQUEST = st.fixed_dictionaries({"request": st.sampled_from(["r1", "r2", "r3"]), "agent": st.just("a")})
UPDATES = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["session.state", "agent.state"]), STATE),
        st.tuples(st.sampled_from(["input.request", "input.response"]), REQUEST),
        st.tuples(st.sampled_from(["session.degraded", "session.restored"]), JSON),
        st.tuples(
            st.sampled_from(["agent.message", "person.message", "agent.state", "input.request", "own.kind"]), JSON
        ),
    ),
    max_size=30,
)


def encoded(updates: list[tuple[str, Any]], first: int = 1) -> list[bytes]:
    return [Update(kind, data).encode(seq, seq / 7) for seq, (kind, data) in enumerate(updates, start=first)]


def view_of(texts: list[bytes], view: View | None = None) -> View:
    view = view or View()
    for text in texts:
        view.apply(text)
    return view


def stored(view: View) -> View:
    return View.from_json(decode(encode(view.to_json())))


def said(size: int = 10, kind: str = "agent.message", **data: Any) -> tuple[str, Any]:
    return kind, {"agent": "a", "text": "x" * size, **data}


@settings(max_examples=50, deadline=None)
@given(updates=UPDATES, share=st.floats(0, 1))
def test_a_view_goes_on_from_where_it_was_stored(updates: list[tuple[str, Any]], share: float) -> None:
    """L3: where a log is trimmed cannot be seen in what its clients are told."""
    texts = encoded(updates)
    at = round(share * len(texts))
    whole, later = view_of(texts), view_of(texts[at:], stored(view_of(texts[:at])))
    assert later.to_json() == whole.to_json()
    assert encode(later.shown(FRAME)) == encode(whole.shown(FRAME))


@settings(max_examples=30, deadline=None)
@given(updates=UPDATES)
def test_a_view_is_what_a_client_has_that_saw_everything(updates: list[tuple[str, Any]]) -> None:
    """L3: the same states, open questions and messages as by applying each update."""
    states: dict[str, Any] = {}
    requests: dict[str, Any] = {}
    messages = []
    for seq, (kind, data) in enumerate(updates, start=1):
        if kind.endswith(".state") and isinstance(data, dict) and "actor" in data and "event" in data:
            if data.get("final") and data["actor"] != "/":
                states = {
                    p: s for p, s in states.items() if p != data["actor"] and not p.startswith(data["actor"] + "/")
                }
            else:
                states[data["actor"]] = data["to"]
            continue
        if kind == "input.request" and isinstance(data, dict) and "agent" in data:
            requests[data["request"]] = seq
        if kind == "input.response":
            requests.pop(data["request"], None)
        if kind not in ("session.degraded", "session.restored"):
            messages.append(seq)
    shown = view_of(encoded(updates)).shown(FRAME)
    assert {actor["actor"]: actor["state"] for actor in shown["actors"]} == states
    assert {one["data"]["request"]: one["seq"] for one in shown["requests"]} == requests
    assert [one["seq"] for one in shown["messages"]] == messages
    assert shown["missing"] == {"messages": 0, "requests": 0, "actors": 0}


def test_a_message_is_told_as_its_event_was() -> None:
    """A client shows a snapshot with the code that shows events."""
    texts = encoded([said(), ("input.request", {"request": "r", "agent": "a", "prompt": "?"}), said(kind="own.kind")])
    shown = view_of(texts).shown(FRAME)
    assert shown["messages"] == [decode(text) for text in texts]
    assert shown["requests"] == [decode(texts[1])]


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 3 * EVENT_BYTES_MAX), min_size=1, max_size=30), times=st.integers(1, 15))
def test_a_view_fits_into_a_frame_and_counts_what_it_leaves_out(sizes: list[int], times: int) -> None:
    """L11, and rule 14 of the protocol: 256 KiB, the last 200 messages, the oldest go first."""
    texts = encoded([said(size) for size in sizes * times])
    view = view_of(texts)
    shown = view.shown(FRAME)
    assert len(encode(shown)) <= FRAME
    assert len(encode(view.to_json())) <= 2 * FRAME
    kept = [one["seq"] for one in shown["messages"]]
    assert 1 <= len(kept) <= MESSAGES_MAX
    assert kept == list(range(len(texts) - len(kept) + 1, len(texts) + 1))
    assert shown["missing"]["messages"] == len(texts) - len(kept)


def test_a_large_event_is_told_by_its_outline() -> None:
    """Whose it is, what it was about, and that it is not whole."""
    large = [{"n": number, "text": "y" * 100} for number in range(1000)]
    report = {"released": 3, "forced": 0, "leaked": 1, "items": large}
    texts = encoded(
        [said(EVENT_BYTES_MAX, msg="m1"), ("session.ended", {"code": "closed", "why": "w", "report": report})]
    )
    shown = view_of(texts).shown(FRAME)
    assert shown["messages"][0]["data"] == {"agent": "a", "msg": "m1", "truncated": True}
    counts = {"released": 3, "forced": 0, "leaked": 1}
    assert shown["ended"] == {"code": "closed", "why": "w", "report": counts, "truncated": True}


def test_hostile_updates_cost_a_bounded_amount() -> None:
    """L11: names and shapes that no handler of ours emits."""
    many = {f"{'n' * 300}{n}": {f"{'m' * 300}{m}": "z" * 250 for m in range(40)} for n in range(40)}
    hostile = [("agent.message", many), ("x.state", {"actor": "p" * FRAME, "to": "t", "event": "e"})]
    hostile += [("agent.state", {"actor": f"/a{n}", "to": "t", "event": "e"}) for n in range(ACTORS_MAX + 20)]
    hostile += [("input.request", {"request": f"r{n}", "prompt": "?" * 30_000}) for n in range(REQUESTS_MAX + 20)]
    view = view_of(encoded([("session.state", {"actor": "/", "to": "up", "event": "e"}), *hostile]))
    shown = view.shown(FRAME)
    assert len(encode(shown)) <= FRAME
    assert shown["state"] == "up"
    assert shown["actors"][0]["actor"] == "/"
    assert len(shown["requests"]) + shown["missing"]["requests"] == REQUESTS_MAX
    assert len(shown["actors"]) + shown["missing"]["actors"] == ACTORS_MAX


def test_the_end_leaves_the_root_and_the_report() -> None:
    """L9: whoever comes after the end is told how it was; nobody is asked anything any more."""
    updates = [
        ("session.state", {"actor": "/", "from": "a", "to": "up", "event": "go"}),
        ("agent.state", {"actor": "/main", "from": "a", "to": "b", "event": "go"}),
        ("input.request", {"request": "r", "agent": "a"}),
        ("session.degraded", {"why": "slow"}),
        ("session.state", {"actor": "/", "from": "up", "to": "terminated", "event": "done", "final": True}),
        ("session.ended", {"code": "closed", "why": "terminate", "report": {"leaked": 0}}),
    ]
    assert view_of(encoded(updates[:4])).shown(FRAME)["degraded"] == {"why": "slow"}
    shown = view_of(encoded(updates)).shown(FRAME)
    assert (shown["state"], [one["actor"] for one in shown["actors"]], shown["requests"]) == ("terminated", ["/"], [])
    assert shown["ended"]["report"] == {"leaked": 0}
    assert "degraded" not in shown
