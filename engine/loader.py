"""lifecycle.yaml to a checked Spec, or every mistake in it with line and column. The only door to YAML.

PyYAML's composer recurses, lets repeated keys win silently and expands aliases without a bound, and its C parser
crashes on deep nesting. So only its pure Python parser is used, event by event, and the nodes are built here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Final

import yaml

from .errors import SpecError
from .language.diagnostics import Findings, Places
from .language.document import Node, OpenNode, Path, Place, ScalarNode, Sized, Spot, describe, show
from .language.expand import expand
from .language.rules import broken_rules
from .language.scalars import REWORD, Ambiguous, read_plain
from .language.source import read_source
from .language.validate import unresolved_names
from .registry import Registry
from .spec import Spec

FILE_BYTES_MAX: Final = 1024 * 1024
NESTING_MAX: Final = 50  # far under Python's recursion limit for what walks the nodes afterwards
NODES_MAX: Final = 50_000  # with aliases written out: ten lines of aliases to aliases can stand for 10**10 nodes
ALIASES_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Loaded:
    """A spec without mistakes, and where each part of it was written."""

    spec: Spec
    places: Places
    name: str


def load_spec(path: FilePath, registry: Registry | None) -> Spec:
    """The checked spec of a file. Raises SpecError with every mistake, sorted by place. registry None: whatever names
    of handlers stand in the file are taken."""
    return load(path, registry).spec


def parse_spec(text: bytes, registry: Registry | None, name: str = "lifecycle.yaml") -> Spec:
    """As load_spec, of text; name is what the diagnostics call the file."""
    return parse(text, registry, name).spec


def load(path: FilePath, registry: Registry | None) -> Loaded:
    """As load_spec, with the places."""
    try:
        text = read_source(path, FILE_BYTES_MAX + 1)
    except OSError as error:
        findings = Findings(str(path))
        findings.add(Spot(), (), f"cannot be read: {error.strerror or error}", "missing-file")
        raise SpecError(findings.sorted(), is_readable=False) from None
    return parse(text, registry, str(path))


def parse(text: bytes, registry: Registry | None, name: str = "lifecycle.yaml") -> Loaded:
    """As parse_spec, with the places."""
    findings = Findings(name)
    places = Places()
    try:
        root = compose(text, findings)
    except _Unreadable as error:
        findings.add(error.at, error.path, error.message, error.code, error.hint)
        raise SpecError(findings.sorted(), is_readable=False) from None
    spec = expand(root, findings, places)
    known = registry if registry is not None else Registry()
    for found in (*unresolved_names(spec, known), *broken_rules(spec, known)):
        if registry is None and found.code == "unknown-handler":
            continue
        findings.add(places[found.path], found.path, found.message, found.code, found.hint)
    if len(findings):
        raise SpecError(findings.sorted())
    return Loaded(spec, places, name)


def compose(text: bytes, findings: Findings) -> Node:
    """The one document in text. Raises _Unreadable; what spoils only a part of it goes to findings."""
    if len(text) > FILE_BYTES_MAX:
        raise _Unreadable(Spot(), "the file is larger than 1 MiB", "too-large")
    decoded = _decoded(text)
    composer = _Composer(findings)
    for event, at in _events(decoded):
        composer.take(event, at)
    if composer.root is None:
        raise _Unreadable(Spot(), "the file is empty", "yaml-syntax", "it begins with `lifecycle: 1`")
    return composer.root


class _Unreadable(Exception):
    """Nothing after this place can be trusted, or it would cost too much to look."""

    def __init__(self, at: Place, message: str, code: str, hint: str = "", path: Path = ()) -> None:
        super().__init__(message)
        self.at, self.message, self.code, self.hint, self.path = at, message, code, hint, path


def _decoded(text: bytes) -> str:
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        good = text[: error.start].decode("utf-8")
        message = f"byte {error.start} is not UTF-8 text"
        raise _Unreadable(_spot(good, len(good)), message, "not-utf8") from None
    if (index := decoded.find("\0")) >= 0:
        raise _bad_character(_spot(decoded, index), "\0")
    return decoded


def _spot(text: str, index: int) -> Spot:
    before = text[:index]
    return Spot(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _bad_character(at: Place, character: str) -> _Unreadable:
    return _Unreadable(at, f"the character U+{ord(character):04X} is not allowed", "bad-character")


def _events(text: str) -> Iterator[tuple[yaml.Event, Spot]]:
    """The parser's events with their places; whatever the parser raises becomes _Unreadable."""
    parser: yaml.SafeLoader | None = None
    try:
        parser = yaml.SafeLoader(text)
        while parser.check_event():
            event: yaml.Event = parser.get_event()  # type: ignore[no-untyped-call]
            yield event, _start(event.start_mark)
    except yaml.reader.ReaderError as error:
        raise _bad_character(_spot(text, error.position), text[error.position]) from None
    except yaml.MarkedYAMLError as error:
        context = f" ({error.context})" if error.context else ""
        at = _start(error.problem_mark or error.context_mark)
        raise _Unreadable(at, f"not YAML: {error.problem}{context}", "yaml-syntax") from None
    except (ValueError, OverflowError) as error:  # "\UFFFFFFFF", and a version with 5,000 digits
        at = _start(parser.get_mark()) if parser is not None else Spot()
        raise _Unreadable(at, f"not YAML: {error}", "yaml-syntax") from None


def _start(mark: Any) -> Spot:
    return Spot() if mark is None else Spot(mark.line + 1, mark.column + 1)


class _Composer:
    """Events to nodes, without recursion, counting what would be too much."""

    def __init__(self, findings: Findings) -> None:
        self.root: Node | None = None
        self._findings = findings
        self._anchors: dict[str, Sized | None] = {}  # None while the anchored node is open
        self._open: list[OpenNode] = []
        self._aliases = 0
        self._nodes = 0

    def take(self, event: yaml.Event, at: Spot) -> None:
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                raise _Unreadable(at, "a second document begins", "several-documents", "one file, one document")
            case yaml.AliasEvent(anchor=str(anchor)):
                self._alias(anchor, at)
            case yaml.ScalarEvent():
                self._scalar(event, at)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event, at)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._end()
            case _:
                pass  # the stream's and the document's own marks

    def _alias(self, anchor: str, at: Spot) -> None:
        self._aliases += 1
        if self._aliases > ALIASES_MAX:
            raise self._refused(at, f"more than {ALIASES_MAX:,} aliases", "too-many-aliases")
        if anchor not in self._anchors:
            raise self._refused(at, f"no anchor {show(anchor)} before this alias", "unknown-alias")
        sized = self._anchors[anchor]
        if sized is None:
            raise self._refused(at, f"{show(anchor)} would contain itself", "alias-cycle")
        self._count(sized.size, at)
        self._place(sized, at)

    def _scalar(self, event: yaml.ScalarEvent, at: Spot) -> None:
        self._count(1, at)
        sized = Sized(self._read(event, at))
        self._anchor(event.anchor, sized, at)
        self._place(sized, at, is_merge=event.implicit[0] and event.value == "<<")

    def _begin(self, event: yaml.CollectionStartEvent, at: Spot) -> None:
        self._count(1, at)
        self._refuse_tag(event.tag, at)
        if len(self._open) >= NESTING_MAX:
            raise self._refused(at, f"more than {NESTING_MAX} levels of nesting", "too-deep")
        self._anchor(event.anchor, None, at)
        self._open.append(OpenNode(isinstance(event, yaml.MappingStartEvent), at, event.anchor))

    def _end(self) -> None:
        opened = self._open.pop()
        sized = opened.closed()
        if opened.anchor is not None:
            self._anchors[opened.anchor] = sized
        self._place(sized, opened.at)

    def _count(self, nodes: int, at: Spot) -> None:
        self._nodes += nodes
        if self._nodes > NODES_MAX:
            raise self._refused(at, f"more than {NODES_MAX:,} nodes, aliases written out", "too-many-nodes")

    def _anchor(self, anchor: str | None, sized: Sized | None, at: Spot) -> None:
        if anchor is None:
            return
        if anchor in self._anchors:
            self._note(at, f"the anchor {show(anchor)} is used twice", "duplicate-anchor")
        self._anchors[anchor] = sized

    def _place(self, sized: Sized, at: Spot, *, is_merge: bool = False) -> None:
        """Put a finished node into what holds it."""
        if len(self._open) + sized.height - 1 > NESTING_MAX:
            raise self._refused(at, f"more than {NESTING_MAX} levels of nesting, aliases written out", "too-deep")
        if not self._open:
            self.root = sized.node
            return
        holder = self._open[-1]
        holder.size += sized.size
        holder.height = max(holder.height, sized.height + 1)
        if not holder.is_map:
            holder.items.append(sized.node)
        elif holder.key is None and not holder.is_key_refused:
            self._take_key(holder, sized.node, at, is_merge)
        else:
            if holder.key is not None:
                holder.pairs[holder.key.text] = (holder.key, sized.node)
            holder.key, holder.is_key_refused = None, False

    def _take_key(self, holder: OpenNode, node: Node, at: Spot, is_merge: bool) -> None:
        """Keys are their text. One that cannot be a key is noted, and its value is read and dropped."""
        if not isinstance(node, ScalarNode):
            self._note(at, f"a key must be text, not {describe(node)}", "wrong-key")
        elif is_merge:
            self._note(at, "there are no merge keys here", "merge-key", "write the keys out, or alias the whole value")
        elif node.text in holder.pairs:
            line = holder.pairs[node.text][0].line
            self._note(at, f"the key {show(node.text)} is in line {line} already", "duplicate-key")
        else:
            holder.key = self._plain_key(node, at)
        holder.is_key_refused = holder.key is None

    def _plain_key(self, node: ScalarNode, at: Spot) -> ScalarNode:
        if node.is_reported or (node.value is not None and not isinstance(node.value, bool)):
            return node
        self._note(at, f"YAML reads {show(node.text)} as {describe(node)}", "ambiguous-scalar", REWORD)
        return ScalarNode(node.line, node.column, node.text, node.text, is_reported=True)

    def _read(self, event: yaml.ScalarEvent, at: Spot) -> ScalarNode:
        text = event.value
        for character in text:
            if character == "\0" or "\ud800" <= character <= "\udfff":  # escapes can say what the file may not hold
                raise _bad_character(at, character)
        if self._refuse_tag(event.tag, at):
            return ScalarNode(at.line, at.column, text, text, is_reported=True)
        if not event.implicit[0] or text == "<<":
            return ScalarNode(at.line, at.column, text, text)
        try:
            return ScalarNode(at.line, at.column, text, read_plain(text, _tag(text)))
        except Ambiguous as error:
            self._note(at, f"YAML 1.1 reads {show(text)} as {error.meaning}", "ambiguous-scalar", error.hint)
            return ScalarNode(at.line, at.column, text, text, is_reported=True)

    def _refuse_tag(self, tag: str | None, at: Spot) -> bool:
        if tag is not None:
            self._note(at, f"the tag {show(tag)} is not allowed", "custom-tag", "values are plain data")
        return tag is not None

    def _note(self, at: Spot, message: str, code: str, hint: str = "") -> None:
        self._findings.add(at, self._path(), message, code, hint)

    def _refused(self, at: Spot, message: str, code: str) -> _Unreadable:
        return _Unreadable(at, message, code, path=self._path()[:8])

    def _path(self) -> Path:
        return tuple(part for opened in self._open for part in opened.step())


def _tag(text: str) -> str:
    """How YAML 1.1 reads plain text: the last part of the tag."""
    resolvers: dict[str | None, list[tuple[str, Any]]] = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in resolvers.get(text[:1], []):
        if pattern.match(text):
            return tag.rpartition(":")[2]
    return "str"
