"""Pictures as Graphviz lays them out: what a page can take hold of, dark pages, forty states, and what goes wrong."""

from __future__ import annotations

import itertools
import json
import re
import struct
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from engine.drawing import diagram, render
from engine.drawing.palette import DARK, LIGHT, ROOT, STYLE
from engine.loader import load_spec
from engine.registry import Registry
from engine.spec import Machine, Spec, State, Transition
from server.config import HANDLER_MODULES
from tests.project.forty import forty

HERE: Final = Path(__file__).parents[2]
NS: Final = {"": "http://www.w3.org/2000/svg"}
TOUCHING_PT: Final = 1.0  # boxes and labels are laid out edge to edge; a point of overlap is the pen's


@pytest.fixture(scope="module")
def spec() -> Spec:
    return load_spec(HERE / "lifecycle.yaml", Registry.of(*HANDLER_MODULES))


def drawn(machine: Machine, highlight: str | None = None) -> ET.Element:
    return ET.fromstring(render.svg(diagram.dot(machine, highlight)))


def classes(picture: ET.Element) -> list[set[str]]:
    return [set(group.get("class", "").split()) for group in picture.iterfind(".//g", NS)]


def test_every_state_and_every_way_can_be_found(spec: Spec) -> None:
    """A page lights the current state and marks the last transition; ids do not clash when it shows three machines."""
    ids: list[str] = []
    for kind, machine in spec.machines.items():
        picture = drawn(machine)
        found = classes(picture)
        ids += [group.get("id", "") for group in picture.iterfind(".//g", NS) if group.get("id", "").startswith(kind)]
        assert {f"{kind}-state-{name}" for name in machine.states} <= set(ids)
        for name, state in machine.states.items():
            assert any({"state", f"state-{name}"} <= group for group in found)
            for event, rows in state.transitions.items():
                wanted = [{"way", f"from-{name}", f"to-{row.to}", f"on-{event}"} for row in rows if row.to]
                assert [names for names in wanted if not any(names <= group for group in found)] == []
            for timer in state.after:
                assert any({"way", f"from-{name}", f"on-after-{timer.text}"} <= group for group in found)
    assert len(ids) == len(set(ids))


def test_the_highlighted_state_is_lit_and_nothing_moves(spec: Spec) -> None:
    """A picture that jumps with each change of state cannot be followed."""
    machine = spec.machines["session"]
    plain, lit = drawn(machine), drawn(machine, "active")
    assert [names for names in classes(plain) if "lit" in names] == []
    assert [{"state-active", "plain"} < names for names in classes(lit) if "lit" in names] == [True]
    assert [text.attrib for text in plain.iterfind(".//text", NS)] == [
        text.attrib for text in lit.iterfind(".//text", NS)
    ]


def test_no_line_is_drawn_over_the_words_of_another(spec: Spec) -> None:
    """All lines come first, each arrow's words with its classes after them; none is lost on the way."""
    source = diagram.dot(spec.machines["agent"])
    raw = subprocess.run(["dot", "-Tsvg"], input=source.encode(), capture_output=True, check=True, timeout=60).stdout
    picture = drawn(spec.machines["agent"])
    groups = [names for names in classes(picture) if "way" in names]
    order = ["words" in names for names in groups]
    assert order == sorted(order)
    assert {frozenset(names - {"words"}) for names in groups if "words" in names} == set(
        map(frozenset, groups[: order.index(True)])
    )
    words = sorted(text.text or "" for text in picture.iterfind(".//text", NS))
    assert words == sorted(text.text or "" for text in ET.fromstring(raw).iterfind(".//text", NS))


def test_dark_pages_get_another_colour_for_each_one_used(spec: Spec) -> None:
    """A colour without a rule would stay as it is on paper: black on black."""
    used = set()
    for name in diagram.names(spec):
        text = render.svg(diagram.text(spec, name, "dot", diagram.states(spec, name)[0])).decode()
        body = text.split("</style>")[1]
        used |= set(re.findall(r'(fill|stroke)="(#[0-9a-f]{6}|black|white)"', body))
    assert {colour for _, colour in used} <= set(LIGHT.values())
    ruled = set(re.findall(r'\[(fill|stroke)="(#[0-9a-f]{6})"\]', STYLE))
    assert used - ruled == set()
    dark = STYLE.split("prefers-color-scheme:dark")[1].split("}")[0]
    assert all(f"--steward-{role}:{colour}" in dark for role, colour in DARK.items())


def test_text_without_a_colour_of_its_own_there_is_none(spec: Spec) -> None:
    """Graphviz leaves black out, and what has no attribute has no rule."""
    picture = drawn(spec.machines["session"], "active")
    assert [text.text for text in picture.iterfind(".//text", NS) if text.get("fill") is None] == []


def test_the_picture_stands_alone(spec: Spec) -> None:
    """Within a page or as a file: one element, a name for who cannot see it, and nothing from elsewhere."""
    text = render.svg(diagram.dot(spec.machines["agent"])).decode()
    assert text.startswith(f'<svg class="{ROOT}" role="img" aria-label="agent"')
    assert "<!" not in text
    assert set(re.findall(r'[\w:]+="(https?://[^"]*)"', text)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert not re.search(r"<(script|image|a|foreignObject)\b|\bstyle=|\bhref=|@import|url\(", text)


def test_a_control_character_does_not_spoil_the_drawing() -> None:
    """A description may hold any character that YAML can escape; XML has none for most of those below a space."""
    machine = Machine(
        kind="k", initial="a", description="a\x00b\x1bc <&>", states={"a": State(final=True, description="]]>\x08")}
    )
    texts = [text.text or "" for text in drawn(machine).iterfind(".//text", NS)]
    assert "a\ufffdb\ufffdc <&>" in texts


def test_a_png_is_one() -> None:
    """On white paper, sharp, and never larger than what a page or a printer takes."""
    image = render.png(diagram.dot(forty()))
    width, height = struct.unpack(">II", image[16:24])
    most = render.PNG_DPI * render.PNG_INCHES_MAX
    assert image.startswith(b"\x89PNG\r\n")
    assert 1000 < width <= most
    assert 1000 < height <= most


Box = tuple[float, float, float, float]


def boxes(source: str) -> tuple[dict[str, Box], list[tuple[str, Box]]]:
    """({state: its box}, [(arrow, its label's box)]) in points, as laid out."""
    done = subprocess.run(["dot", "-Tjson"], input=source.encode(), capture_output=True, check=True, timeout=60)
    plain = json.loads(done.stdout)
    names = [item["name"] for item in plain["objects"]]
    placed = [item for item in plain["objects"] if "pos" in item]  # the others are groups
    nodes = {
        item["name"]: around(item["pos"], 72 * float(item["width"]), 72 * float(item["height"])) for item in placed
    }
    arrows = [edge for edge in plain["edges"] if "lp" in edge]
    labels = [(f"{names[edge['tail']]} -> {names[edge['head']]}", around(edge["lp"], *size(edge))) for edge in arrows]
    return nodes, labels


def around(centre: str, width: float, height: float) -> Box:
    x, y = map(float, centre.split(","))
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def size(edge: dict[str, Any]) -> tuple[float, float]:
    """Of a label: the widest of its lines, and from above the first to below the last."""
    lines = []
    font = 0.0
    for item in edge["_ldraw_"]:
        font = item.get("size", font)
        if item["op"] == "T":
            lines.append((item["width"], item["pt"][1], font))
    ys = [y for _, y, _ in lines]
    return max(width for width, _, _ in lines), max(ys) - min(ys) + max(points for *_, points in lines)


def overlap(one: Box, other: Box) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return across > TOUCHING_PT and down > TOUCHING_PT


def overlaps(source: str) -> Iterator[tuple[str, str]]:
    nodes, labels = boxes(source)
    for (one, box), (other, second) in itertools.combinations([*nodes.items(), *labels], 2):
        if overlap(box, second):
            yield one, other


def test_nothing_lies_on_anything_at_forty_states() -> None:
    """States and labels; where one covers the other the picture says less than the file."""
    assert len(forty().states) == 40
    assert list(overlaps(diagram.dot(forty()))) == []


def test_nothing_lies_on_anything_in_the_pictures_that_ship(spec: Spec) -> None:
    for name in diagram.names(spec):
        assert list(overlaps(diagram.text(spec, name, "dot"))) == []


def test_forty_states_keep_the_shape_of_a_page() -> None:
    """A ribbon would have to be scrolled along, and printed on one page it could not be read."""
    nodes, _ = boxes(diagram.dot(forty()))
    width = max(box[2] for box in nodes.values()) - min(box[0] for box in nodes.values())
    height = max(box[3] for box in nodes.values()) - min(box[1] for box in nodes.values())
    assert 1 / 3 < width / height < 3


def test_without_graphviz_it_says_what_would_help(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(render.NoGraphvizError, match="apt-get install graphviz"):
        render.svg("digraph { a }")


def test_what_graphviz_refuses_is_told_in_its_words() -> None:
    with pytest.raises(render.RenderError, match="syntax error"):
        render.svg("digraph { a -> }")


def test_a_drawing_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the process with it, or each request would leave one behind."""
    fake, pid = tmp_path / "dot", tmp_path / "pid"
    fake.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec /bin/sleep 60\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(render, "RENDER_S", 0.5)
    with pytest.raises(render.RenderError, match=r"more than 0\.5 s"):
        render.svg("digraph { a }")
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_drawing_of_any_size_is_not_even_begun(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(render.RenderError, match="bytes as DOT"):
        render.svg(f"digraph {{ {'a' * render.DOT_BYTES_MAX} }}")


def test_an_arrow_back_to_the_same_state_is_drawn() -> None:
    """Entering a state anew is a transition like any other."""
    machine = Machine(
        kind="k", initial="a", states={"a": State(transitions={"go": (Transition(to="a"),)}), "b": State(final=True)}
    )
    assert any({"from-a", "to-a", "on-go"} <= names for names in classes(drawn(machine)))
