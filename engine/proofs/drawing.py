"""A finding's story in the picture of its machine: the arrows it takes in red, the state it ends in lit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ..drawing.diagram import MADE, notation
from ..drawing.picture import ANYWHERE, Edge, Label, Picture, machine_picture
from ..spec import Spec
from .findings import Finding
from .stories import Story


def draw(spec: Spec, finding: Finding, form: str) -> str:
    """form: dot or mermaid. The finding has a story."""
    assert finding.story is not None, "without a story there is nothing to draw"
    picture = machine_picture(spec.machines[finding.path[0]])
    return notation(form)(traced(picture, finding.story), MADE, finding.story.state)


def traced(picture: Picture, story: Story) -> Picture:
    """The picture with what the story takes on arrows of their own."""
    ways = [move.way for move in story.moves]
    known = {(edge.source, event) for edge in picture.edges for label in edge.labels for event in label.events}
    # What a state does not list itself is drawn from the box that stands for any state.
    taken = {
        (way.source if (way.source, way.event) in known else ANYWHERE, way.event, way.target)
        for way in ways
        if way.target is not None
    }
    return replace(picture, edges=tuple(edge for old in picture.edges for edge in _split(old, taken)))


def _split(edge: Edge, taken: set[tuple[str, str, str]]) -> Iterator[Edge]:
    """The edge without what is taken, and what is taken."""
    for style, wanted in ((edge.style, False), ("found", True)):
        labels = []
        for label in edge.labels:
            events = tuple(one for one in label.events if ((edge.source, one, edge.target) in taken) is wanted)
            if events:
                labels.append(Label(events, label.order, label.guard, label.do))
        if labels:
            yield Edge(edge.source, edge.target, style, tuple(labels))
