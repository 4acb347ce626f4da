"""The drawings of a machine: what is told apart, what is written on the arrows, and that labels cannot break out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.drawing import diagram
from engine.drawing.palette import DARK, LIGHT
from engine.drawing.wording import show_guard
from engine.spec import CleanupEntry, Guard, Limits, Machine, Reference, Spec, State, Step, Timer, Transition


def ref(name: str, **args: Any) -> Reference:
    return Reference(name=name, args=args)


def step(name: str, **more: Any) -> Step:
    return Step(ref=ref(name), **more)


def is_true(name: str, **args: Any) -> Guard:
    return Guard(op="ref", ref=ref(name, **args))


def door() -> Machine:
    """One state of each sort, each sort of arrow, a note of each."""
    return Machine(
        kind="door",
        description="A door with a guard",
        initial="opening",
        limits=Limits(tasks=4, memory=64 * 1024**2),
        cleanup=(
            CleanupEntry(release="lock", do=step("unlock"), timeout_s=3, force=step("break_lock")),
            CleanupEntry(release="children"),
        ),
        transitions={"stop": (Transition(to="closing"),), "knock": (Transition(do=(step("answer"),)),)},
        states={
            "opening": State(run=(step("swing", timeout_s=1.5),), defer=("knock",), transitions={"knock": ()}),
            "open": State(
                after=(Timer(seconds=30, text="30s", transitions=(Transition(to="closing"),)),),
                transitions={
                    "push": (
                        Transition(to="closing", when=is_true("entered_below", state="open", count=3)),
                        Transition(to="stuck"),
                    ),
                },
            ),
            "closing": State(run=(step("cleanup"),), transitions={"done": (Transition(to="closed"),)}),
            "closed": State(final=True),
            "stuck": State(quarantine=True),
        },
    )


BOTH = pytest.mark.parametrize("draw", [diagram.dot, diagram.mermaid])


def node_line(text: str, name: str) -> str:
    """The line that declares a state."""
    return next(line for line in text.splitlines() if re.match(rf'  ("{name}" \[|s_{name}\W)', line))


def test_each_sort_of_state_has_a_shape_of_its_own_in_dot() -> None:
    """A drawing is printed in black, and read by people who do not see its colours."""
    text = diagram.dot(door())
    shapes = {name: re.findall(r"shape=(\w+)", node_line(text, name))[0] for name in door().states}
    assert shapes == {"opening": "box", "open": "box", "closing": "box", "closed": "ellipse", "stuck": "octagon"}
    barred = {name for name in shapes if f'bgcolor="{LIGHT["activity-line"]}"' in node_line(text, name)}
    assert barred == {"opening", "closing"}
    assert "rounded" in node_line(text, "open")
    assert "rounded" not in node_line(text, "opening")
    assert '  Start -> "opening"' in text


def test_each_sort_of_state_has_a_shape_of_its_own_in_mermaid() -> None:
    text = diagram.mermaid(door())
    shapes = {name: re.findall(r'^  s_\w+?(\W+?)"', node_line(text, name))[0] for name in door().states}
    assert shapes == {"opening": "[[", "open": "(", "closing": "[[", "closed": "(((", "stuck": "{{"}
    assert "  Start --> s_opening" in text


@BOTH
def test_guards_are_shown_in_the_order_they_are_asked(draw: Any) -> None:
    """The first that holds wins, so a list without its order would say something else."""
    text = draw(door())
    assert text.index("push (1)") < text.index("push (2)")
    assert "[entered open below 3 times]" in text


@BOTH
def test_timers_carry_their_durations(draw: Any) -> None:
    assert "after 30s" in draw(door())


@BOTH
def test_what_a_state_does_by_itself_is_written_in_it(draw: Any) -> None:
    """Activities, deferred and refused events have no arrow that could show them."""
    line = node_line(draw(door()), "opening")
    assert "run (1) swing within 1.5s" in line
    assert "defers knock" in line
    assert "refuses knock" in line


@BOTH
def test_what_holds_in_any_state_is_drawn_once(draw: Any) -> None:
    """An arrow from every state would hide the ones that differ."""
    text = draw(door())
    assert text.count("<b>stop</b>") + text.count('"stop"') == 1
    assert "knock / answer" in node_line(text, "Anywhere")


@BOTH
def test_cleanup_is_noted_in_the_order_it_runs(draw: Any) -> None:
    """With the built-in kinds where the engine puts them, since they are let go as well."""
    line = next(line for line in draw(door()).splitlines() if "break_lock" in line)
    entries = ["lock: unlock within 3s, else break_lock", "children: ", "processes", "tasks", "files"]
    assert sorted(entries, key=line.index) == entries


@BOTH
def test_the_same_spec_gives_the_same_text(draw: Any) -> None:
    """Else what is checked in would change by itself."""
    assert draw(door()) == draw(door())


def test_a_guard_reads_as_the_file_nests_it() -> None:
    either = Guard(op="any", items=(is_true("b"), is_true("c")))
    nested = Guard(op="all", items=(is_true("a"), Guard(op="not", items=(either,))))
    assert show_guard(nested) == "a and not (b or c)"


def test_who_owns_whom_shows_how_many() -> None:
    house = door().model_copy(update={"kind": "house", "owns": {"door": 4}})
    spec = Spec(lifecycle=1, name="street", machines={"house": house, "door": door()})
    arrow = next(
        line for line in diagram.text(spec, "who-owns-whom", "dot").splitlines() if '"house" -> "door"' in line
    )
    assert "owns at most 4" in arrow
    assert 's_house ==>|"owns at most 4"| s_door' in diagram.text(spec, "who-owns-whom", "mermaid")


def test_a_state_may_have_a_name_that_mermaid_keeps_for_itself() -> None:
    """`end` as a bare name breaks the whole drawing."""
    machine = Machine(kind="k", initial="end", states={"end": State(final=True)})
    assert not re.search(r"^\s*end\b", diagram.mermaid(machine), re.MULTILINE)


def with_guard(guard: Guard | None) -> Machine:
    go = Transition(to="b", when=guard)
    return Machine(kind="k", initial="a", states={"a": State(transitions={"go": (go,)}), "b": State(final=True)})


@BOTH
def test_the_highlighted_state_is_marked_and_no_other(draw: Any) -> None:
    plain, lit = draw(door()), draw(door(), "open")
    changed = [new for old, new in zip(plain.splitlines(), lit.splitlines(), strict=True) if old != new]
    assert changed == [node_line(lit, "open")]
    assert "lit" in changed[0]


def test_trouble_has_a_line_of_its_own() -> None:
    """The ways of recovery are what one looks for when something has gone wrong."""
    states = {
        "a": State(transitions={"unhealthy": (Transition(to="b"),), "ask": (Transition(to="b"),)}),
        "b": State(run=(step("mend"),), transitions={"done": (Transition(to="a"),)}),
    }
    machine = Machine(kind="k", initial="a", states=states)
    styles = set(re.findall(r'-> "[ab]" \[class="way (\w+) .*?style=(\w+)', diagram.dot(machine)))
    assert styles == {("trouble", "dotted"), ("asked", "solid"), ("own", "solid")}
    assert 's_a --o|"unhealthy"| s_b' in diagram.mermaid(machine)


def test_events_that_lead_on_in_the_same_way_share_a_line() -> None:
    """Else one arrow carries the same guard twice, and the picture grows by it."""
    rows = (Transition(to="b", when=is_true("g")),)
    states = {"a": State(transitions={"x": rows, "y": rows, "z": (Transition(to="b"),)}), "b": State(final=True)}
    text = diagram.mermaid(Machine(kind="k", initial="a", states=states))
    assert '|"x, y [g]<br/>z"|' in text


def brightness(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_every_word_can_be_read_on_what_lies_under_it(theme: dict[str, str]) -> None:
    """4.5 to 1 is what WCAG 2 asks for (success criterion 1.4.3), in both themes."""
    boxes = ("paper", "plain", "activity", "final", "quarantine", "lit")
    pairs = [(word, box) for word in ("ink", "muted") for box in boxes]
    pairs += [(style, "paper") for style in ("asked", "own", "time", "trouble")]
    bright = [sorted((brightness(theme[word]), brightness(theme[box]))) for word, box in pairs]
    contrasts = {pair: (high + 0.05) / (low + 0.05) for pair, (low, high) in zip(pairs, bright, strict=True)}
    assert {pair: contrast for pair, contrast in contrasts.items() if contrast < 4.5} == {}


def test_each_colour_has_one_role() -> None:
    """The style sheet of an SVG finds a role by its light colour."""
    assert len(set(LIGHT.values())) == len(LIGHT)
    assert set(LIGHT) == set(DARK)


def quotes(text: str) -> int:
    """Quotation marks that are not escaped, those of line ends left out: a longer text has more lines."""
    return len(re.findall(r'(?<!\\)(?:\\\\)*"', text.replace('<br align="left"/>', "")))


@BOTH
@given(value=st.text(alphabet='"\\<>&#;`|[]{}()\n\r\u2028%- x', max_size=30))
def test_no_argument_breaks_out_of_its_label(draw: Any, value: str) -> None:
    """Arguments are the author's free text; in DOT and Mermaid a quote or a line end would begin something else."""
    with_text, without = draw(with_guard(is_true("g", value=value))), draw(with_guard(is_true("g")))
    assert len(with_text.splitlines()) == len(without.splitlines())
    assert quotes(with_text) == quotes(without)


def test_a_state_called_anywhere_is_not_taken_for_any_state() -> None:
    """Two elements of one id, and a page would light the wrong one."""
    machine = Machine(
        kind="ghost",
        initial="anywhere",
        transitions={"stop": (Transition(to="gone"),)},
        states={"anywhere": State(transitions={"go": (Transition(to="gone"),)}), "gone": State(final=True)},
    )
    text = diagram.text(Spec(lifecycle=1, name="ghosts", machines={"ghost": machine}), "ghost", "dot")
    ids = re.findall(r'id="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert {"ghost-state-anywhere", "ghost-state-Anywhere"} <= set(ids)
    assert "from-anywhere to-gone on-go" in text
    assert "from-Anywhere to-gone on-stop" in text
