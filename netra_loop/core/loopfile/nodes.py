"""YAML text -> a tree of nodes that know where they stand, with everything dangerous refused on the way.

The tree is built from the parser's events without recursion. Plain scalars stay text: what they mean is decided by what
the loop file expects in their place, so that `off`, `NO`, `1.10` and `12:30` never change into something else unseen.
"""

from __future__ import annotations

from dataclasses import field
from typing import Any, NoReturn

import yaml

from netra_loop.core.loopfile.problems import Problems, clip
from netra_loop.values import dataclass

MAX_CHARACTERS = 1_048_576
MAX_NODES = 20_000
MAX_DEPTH = 64

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is a hundred times as fast; only its parser is used
_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Place:
    """Where something stands; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Scalar:
    """A text. `plain`: written without quotes, so that it might have been meant as a number or a truth value."""

    place: Place
    text: str
    plain: bool = False
    width: int = 0  # characters on its only line, quotes included; 0 where it has several

    @property
    def looks_like(self) -> str:
        """What YAML 1.1 takes it for: `str`, `int`, `float`, `bool`, `null`, `timestamp`, `merge`, `value`."""
        if not self.plain:
            return "str"
        tag: str = _RESOLVER.resolve(yaml.ScalarNode, self.text, (True, False))  # type: ignore[no-untyped-call]
        return tag.removeprefix(_TAG)

    @property
    def is_null(self) -> bool:
        """Nothing was written, or `null` or `~`."""
        return self.looks_like == "null"

    def place_of(self, offset: int) -> Place:
        """Where the character at `offset` of the text stands; the scalar's own place where escapes or folds hide it."""
        quotes = self.width - len(self.text)
        if self.width and quotes in {0, 2}:
            return Place(self.place.line, self.place.column + quotes // 2 + offset)
        return self.place


@dataclass(frozen=True)
class Sequence:
    """A list."""

    place: Place
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class Mapping:
    """A mapping; a duplicate key was reported and only its first value kept."""

    place: Place
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


def compose(text: str, problems: Problems) -> Node | None:
    """The tree of the one document in `text`; None where there is no usable tree, and `problems` says why."""
    if len(text) > MAX_CHARACTERS:
        problems.add(1, 1, f"the file has {len(text)} characters, expected at most {MAX_CHARACTERS}")
        return None
    if not _readable(text, problems):
        return None
    builder = _Builder(problems)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = f"{error.context}: {error.problem}" if error.context else str(error.problem)
        problems.add(*((mark.line + 1, mark.column + 1) if mark else (1, 1)), f"not valid YAML: {what}")
        return None
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # the last two: escapes PyYAML's own scanner trips over
        problems.add(1, 1, f"not valid YAML: {clip(str(error))}")
        return None
    except _GivenUp:
        return None
    if builder.root is None:
        problems.add(1, 1, "the file is empty, expected a loop: name, tests or journeys, and phases")
    return builder.root


def _readable(text: str, problems: Problems) -> bool:
    """Control characters and half characters, which YAML forbids, found here so that the message has a line."""
    match = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if match is None:
        return True
    line, column = place_in(text, match.start())
    problems.add(line, column, f"the character U+{ord(match.group()):04X} may not stand in a loop file")
    return False


def place_in(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at `index`."""
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


class _GivenUp(Exception):
    """A problem was added after which reading on would be pointless or dangerous."""


@dataclass
class _Open:
    """A collection whose end has not come yet. `key` is the mapping key that waits for its value."""

    node: Sequence | Mapping
    anchor: str | None
    nodes_before: int
    height: int = 1
    key: Scalar | None = None


class _Builder:
    """Takes the parser's events one by one; `root` is the finished tree."""

    def __init__(self, problems: Problems) -> None:
        self.root: Node | None = None
        self._problems = problems
        self._stack: list[_Open] = []
        self._anchors: dict[str, tuple[Node, int, int]] = {}  # the node, how many nodes it is worth, its height
        self._nodes = 0
        self._documents = 0

    def take(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._give_up(event, "a second document begins here, expected one loop in a file")
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.ScalarEvent():
                self._count(event, 1)
                self._place(event, self._scalar(event), nodes=1, height=0, anchor=event.anchor)
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                self._begin(event)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                opened = self._stack.pop()
                nodes = self._nodes - opened.nodes_before
                self._place(event, opened.node, nodes=nodes, height=opened.height, anchor=opened.anchor)

    def _begin(self, event: Any) -> None:
        self._count(event, 1)
        mapping = isinstance(event, yaml.MappingStartEvent)
        self._check_tag(event, {_TAG + ("map" if mapping else "seq")})
        if len(self._stack) >= MAX_DEPTH:
            self._give_up(event, f"nested deeper than {MAX_DEPTH} levels")
        node = Mapping(_place(event)) if mapping else Sequence(_place(event))
        if event.anchor is not None:
            self._anchors.pop(event.anchor, None)  # until its end it may not be referred to
        self._stack.append(_Open(node, event.anchor, self._nodes - 1))

    def _scalar(self, event: Any) -> Scalar:
        self._check_tag(event, {_TAG + "str", "!"})
        single = event.start_mark.line == event.end_mark.line
        width = event.end_mark.column - event.start_mark.column if single and not event.anchor and not event.tag else 0
        plain = event.style in {None, ""} and event.tag is None
        if "\0" in event.value or any("\ud800" <= character <= "\udfff" for character in event.value):
            self._add(event, "the escapes here make a NUL or half a character, which no text may hold")
        return Scalar(_place(event), event.value, plain=plain, width=width)

    def _alias(self, event: Any) -> None:
        found = self._anchors.get(event.anchor)
        if found is None:
            self._give_up(event, f"the alias {clip('*' + event.anchor)} refers to no anchor that ended before it")
        node, nodes, height = found
        self._count(event, nodes)
        if len(self._stack) + height > MAX_DEPTH:
            self._give_up(event, f"nested deeper than {MAX_DEPTH} levels")
        self._place(event, node, nodes=nodes, height=height, anchor=None)

    def _place(self, event: Any, node: Node, *, nodes: int, height: int, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, nodes, height)
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.node, Sequence):
            parent.node.items.append(node)
        elif parent.key is None:
            parent.key = self._key(event, node)
        else:
            key, parent.key = parent.key, None
            self._enter(parent.node, key, node)

    def _key(self, event: Any, node: Node) -> Scalar:
        if not isinstance(node, Scalar):
            self._give_up(event, "expected a key, found a list or a mapping: a value in { } or [ ] needs quotes")
        if node.plain and node.text == "<<":
            self._give_up(event, "merge keys (<<) are not read: write the keys out, or use an alias for a whole value")
        if node.plain and not node.text:
            self._add(event, "expected a key before ':'")
        return node

    def _enter(self, mapping: Mapping, key: Scalar, value: Node) -> None:
        first = mapping.entries.get(key.text)
        if first is None:
            mapping.entries[key.text] = (key, value)
        else:
            message = f"duplicate key {clip(key.text)}, first on line {first[0].place.line}"
            self._problems.add(key.place.line, key.place.column, message)

    def _count(self, event: Any, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            self._give_up(event, f"the file has more than {MAX_NODES} values, its aliases counted in full")

    def _check_tag(self, event: Any, allowed: set[str]) -> None:
        if event.tag is not None and event.tag not in allowed:
            shown = event.tag.replace(_TAG, "!!", 1)
            self._give_up(event, f"the tag {clip(shown)} is not read: a loop file holds text, lists and mappings")

    def _add(self, event: Any, message: str) -> None:
        place = _place(event)
        self._problems.add(place.line, place.column, message)

    def _give_up(self, event: Any, message: str) -> NoReturn:
        self._add(event, message)
        raise _GivenUp


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
