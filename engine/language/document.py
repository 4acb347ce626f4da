"""A lifecycle file as plain nodes with places: what the loader composes and the expander reads.

Scalars keep the text as written beside what JSON would read there, so nothing is a boolean or a base-60 number by
surprise.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

Path: TypeAlias = tuple[str, ...]


class Place(Protocol):
    """Anything that knows where in the file it stands; both numbers start at 1."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Spot:
    """A place without a node."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class ScalarNode:
    """value is text itself, or the None, bool, int or float that plain text stands for.

    is_reported: the loader has already said what is wrong with it, so nobody else needs to.
    """

    line: int
    column: int
    text: str
    value: str | int | float | bool | None
    is_reported: bool = False


@dataclass(frozen=True, slots=True)
class ListNode:
    line: int
    column: int
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapNode:
    """pairs are in the file's order and their keys differ."""

    line: int
    column: int
    pairs: tuple[tuple[ScalarNode, Node], ...]

    def get(self, key: str) -> Node | None:
        return next((value for name, value in self.pairs if name.text == key), None)


Node: TypeAlias = ScalarNode | ListNode | MapNode


@dataclass(slots=True)
class Sized:
    """A finished node with what it stands for once its aliases are written out: nodes and levels."""

    node: Node
    size: int = 1
    height: int = 1


@dataclass(slots=True)
class OpenNode:
    """A list or mapping whose end has not been seen; key waits for its value."""

    is_map: bool
    at: Spot
    anchor: str | None
    items: list[Node] = field(default_factory=list)
    pairs: dict[str, tuple[ScalarNode, Node]] = field(default_factory=dict)
    key: ScalarNode | None = None
    is_key_refused: bool = False
    size: int = 1
    height: int = 1

    def closed(self) -> Sized:
        node: Node
        if self.is_map:
            node = MapNode(self.at.line, self.at.column, tuple(self.pairs.values()))
        else:
            node = ListNode(self.at.line, self.at.column, tuple(self.items))
        return Sized(node, self.size, self.height)

    def step(self) -> tuple[str, ...]:
        """What the path to the part being read adds here."""
        if not self.is_map:
            return (str(len(self.items)),)
        return (self.key.text,) if self.key is not None else ()


def plain(node: Node) -> Any:
    """The node as JSON data. Recursion is bounded by the nesting the loader lets through."""
    if isinstance(node, ScalarNode):
        return node.value
    if isinstance(node, ListNode):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.pairs}


def describe(node: Node) -> str:
    """What an author would call the node: "a list", "the number 5"."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MapNode):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return f"the boolean {node.text}"
    if isinstance(node.value, int | float):
        return f"the number {node.text}"
    return f"the text {show(node.text)}"


def show(text: str, most: int = 60) -> str:
    """text in quotes on one line, cut where a message would become unreadable."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


def numbered(path: Path, index: int, count: int) -> Path:
    """The path of one of count items: a single item needs no number, as it may be written without its list."""
    return path if count == 1 else (*path, str(index))
