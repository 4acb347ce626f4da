"""What is stored and what is in memory are made to agree, by a pure function."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.log.reconcile import Action, LiveView, StoredView, Terms, reconcile

NOW = 1000.0
TERMS = Terms(retention_s=100.0, idle_memory_s=50.0)
SIDS = st.sampled_from(["a", "b", "c", "d"])
TIMES = st.one_of(st.none(), st.sampled_from([0.0, 899.0, 901.0, 949.0, 950.0, 999.0, 1000.0, 1001.0]))
STORED = st.builds(
    StoredView,
    fence=st.integers(0, 3),
    ended_at=TIMES,
    reading=st.sampled_from(["not read", "whole", "unreadable", "lost"]),
    why=st.just("because"),
)
LIVE = st.builds(
    LiveView,
    place=st.sampled_from(["up", "asleep", "coming", "unreadable"]),
    fence=st.integers(0, 3),
    idle_since=TIMES,
    owes_restored=st.booleans(),
    wake_at=TIMES,
)
Stored = dict[str, StoredView]
Live = dict[str, LiveView]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Stored, Live, Terms]:
    """Anything but a session in memory whose log ended long ago: it goes from memory with its last commit."""
    stored, live = draw(st.dictionaries(SIDS, STORED)), draw(st.dictionaries(SIDS, LIVE))
    for sid in stored.keys() & live.keys():
        if live[sid].place in ("up", "asleep"):
            stored[sid] = replace(stored[sid], ended_at=None)
    return stored, live, Terms(100.0, draw(st.sampled_from([None, 50.0])), draw(st.booleans()))


WORLDS = worlds()


def carry_out(action: Action, stored: Stored, live: Live) -> None:
    """What each deed makes of the world."""
    sid = action.sid
    match action.deed:
        case "bring back":
            stored[sid] = replace(stored[sid], fence=stored[sid].fence + 1)
            live[sid] = LiveView("up", stored[sid].fence)
        case "name unreadable" | "refuse":
            live[sid] = LiveView("unreadable")
        case "drop log":
            del stored[sid]
            live.pop(sid, None)
        case "let go":
            del live[sid]
            if sid in stored:
                live[sid] = LiveView("unreadable")
        case "leave memory":
            live[sid] = LiveView("asleep", live[sid].fence)
        case "wake":
            stored[sid] = replace(stored[sid], fence=stored[sid].fence + 1)
            live[sid] = LiveView("up", stored[sid].fence)
        case "rouse":
            live[sid] = replace(live[sid], owes_restored=False)


@settings(max_examples=80, deadline=None)
@given(world=WORLDS)
def test_what_was_done_is_not_asked_for_again(world: tuple[Stored, Live, Terms]) -> None:
    """Idempotent, and never two things about one session."""
    stored, live, terms = world
    actions = reconcile(stored, live, NOW, terms)
    assert len({action.sid for action in actions}) == len(actions)
    for action in actions:
        carry_out(action, stored, live)
    assert reconcile(stored, live, NOW, terms) == []


@settings(max_examples=80, deadline=None)
@given(world=WORLDS)
def test_what_is_live_and_truthful_is_untouched(world: tuple[Stored, Live, Terms]) -> None:
    """L6, R1: a session that the store has under our fence is at most put to sleep, when nothing of it goes on."""
    stored, live, terms = world
    for action in reconcile(stored, live, NOW, terms):
        one, kept = live.get(action.sid), stored.get(action.sid)
        if one is None or one.place in ("coming", "unreadable"):
            assert one is None or action.deed == "drop log"
            continue
        is_ours = kept is not None and kept.fence <= one.fence
        assert (action.deed == "let go") == (not is_ours)
        if action.deed == "leave memory":
            assert one.idle_since is not None
            assert terms.idle_memory_s is not None
            assert terms.is_store_well


@settings(max_examples=50, deadline=None)
@given(world=WORLDS)
def test_without_the_store_only_memory_is_looked_at(world: tuple[Stored, Live, Terms]) -> None:
    """Nothing is let go, dropped or brought back on the word of nobody."""
    _, live, terms = world
    deeds = {action.deed for action in reconcile(None, live, NOW, terms)}
    assert deeds <= {"leave memory", "wake", "rouse"}


@settings(max_examples=50, deadline=None)
@given(stored=st.dictionaries(SIDS, STORED))
def test_at_the_start_every_session_is_brought_back_named_or_left(stored: Stored) -> None:
    """The start is the same question with nothing in memory."""
    found = {action.sid: action.deed for action in reconcile(stored, {}, NOW, TERMS)}
    for sid, kept in stored.items():
        if kept.ended_at is not None:
            assert found.get(sid) == ("drop log" if kept.ended_at < NOW - 100 else None)
        else:
            by_reading = {"whole": "bring back", "unreadable": "name unreadable", "lost": "refuse"}
            assert found.get(sid) == by_reading.get(kept.reading)
