"""Short forms mean exactly what their long forms mean."""

from __future__ import annotations

import pytest

from engine.loader import parse_spec
from engine.registry import Registry
from engine.spec import EventDecl, Guard, Reference, Spec, Step, Timer, Transition, is_full_cleanup


@pytest.fixture
def spec(valid: str, registry: Registry) -> Spec:
    return parse_spec(valid.encode(), registry)


def test_a_target_alone_is_a_transition(spec: Spec) -> None:
    """`cancel: ending` is the form people write."""
    assert spec.machines["order"].transitions["cancel"] == (Transition(to="ending"),)


def test_an_empty_list_refuses(spec: Spec) -> None:
    """It hides the machine's own transition from this state."""
    order = spec.machines["order"]
    assert order.states["taken"].transitions["pay"] == ()
    assert order.rows("taken", "pay") == ()


def test_steps_have_three_forms(spec: Spec) -> None:
    """A name, a name with arguments, and everything."""
    order = spec.machines["order"]
    assert order.states["taken"].run == (
        Step(ref=Reference(name="open_desk")),
        Step(ref=Reference(name="shelve", args={"count": 1})),
        Step(ref=Reference(name="shelve", argument=4, has_argument=True)),
    )
    again = order.states["repairing"].run[1]
    assert again.retry is not None
    assert (again.timeout_s, again.retry.attempts, again.retry.backoff_s, again.retry.most_s) == (5.0, 3, 0.2, 5.0)


def test_arguments_may_stand_apart_in_the_long_form(spec: Spec) -> None:
    """`with` keeps a long step readable."""
    arrived = spec.machines["order"].transitions["arrived"][0]
    assert arrived.do == (Step(ref=Reference(name="bank")), Step(ref=Reference(name="shelve", args={"count": 2})))


def test_timers_keep_how_they_were_written(spec: Spec) -> None:
    """The text names the timer's event in the log."""
    assert spec.machines["order"].states["taken"].after == (
        Timer(seconds=30.0, text="30s", transitions=(Transition(to="ending"),)),
    )


def test_guards_nest(spec: Spec) -> None:
    """all, any and not are all there is."""
    first = spec.machines["order"].states["packed"].after[0].transitions[0]
    assert first.when == Guard(
        op="any",
        items=(
            Guard(op="ref", ref=Reference(name="is_paid")),
            Guard(op="ref", ref=Reference(name="rich", args={"than": 5})),
        ),
    )


def test_a_list_is_a_payload_type(spec: Spec) -> None:
    """`[str]` is a list to YAML and a type to the author."""
    pay = spec.machines["order"].events["pay"]
    assert pay == EventDecl(
        senders=("client",), payload={"cents": "int", "tags": "[str]", "note": "[str | None] | None"}
    )


def test_sizes_are_bytes(spec: Spec) -> None:
    """64MB is 64 times 1024 times 1024."""
    assert spec.machines["order"].limits.memory == 64 * 1024 * 1024


def test_a_built_in_kind_is_released_by_its_name(spec: Spec) -> None:
    """The engine knows how to end children."""
    children, desk = spec.machines["order"].cleanup
    assert (children.release, children.do, desk.release, desk.timeout_s) == ("children", None, "desk", 3.0)
    assert desk.force is not None
    assert desk.force.timeout_s == 1.0


@pytest.mark.parametrize("partial", ["{cleanup: {only: [children]}}", "{cleanup: [children]}"])
def test_a_partial_clean_up_is_never_taken_for_the_full_one(partial: str, valid: str, registry: Registry) -> None:
    """Both short forms of the one argument must read alike, or a repair would end the session."""
    text = valid.replace("{cleanup: {only: [children, desk]}}", partial)
    step = parse_spec(text.encode(), registry).machines["order"].states["repairing"].run[0]
    assert step.ref.args == {"only": ["children"]}
    assert not is_full_cleanup(step)


def test_roots_are_the_kinds_nobody_owns(spec: Spec) -> None:
    """Sessions are made of roots only."""
    assert spec.roots == ("order",)


def test_an_action_may_acquire_what_the_engine_releases_itself(valid: str, registry: Registry) -> None:
    """Files, tasks, processes and children have built-in clean-up and probes."""
    parse_spec(valid.replace("pay: {do: bank}", "pay: {do: open_book}").encode(), registry)


def test_quoted_words_are_text(valid: str, registry: Registry) -> None:
    """Quoting is the way to say yes as a word."""
    assert parse_spec(valid.replace("name: shop", 'name: "yes"').encode(), registry).name == "yes"
