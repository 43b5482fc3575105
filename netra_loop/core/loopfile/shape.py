"""What a value in a loop file may look like: `Shape` reads a node and draws its own JSON Schema.

One declaration (`grammar`) made of shapes is both the reader and the schema, so the two cannot drift apart. A shape
never raises: it adds a problem and returns `BAD`, and the reading goes on with the next value.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any, Protocol

from netra_loop.core import template
from netra_loop.core.loopfile.nodes import Mapping, Node, Place, Scalar, Sequence
from netra_loop.core.loopfile.problems import Problems, clip
from netra_loop.values import dataclass

BAD: Any = object()
"""What a shape returns after it added a problem."""


Path = tuple[str, ...]


@dataclass(frozen=True)
class Filled:
    """A text with references, to be checked once everything is known that it could refer to."""

    path: Path
    scalar: Scalar
    template: template.Template


@dataclass
class Notes:
    """What reading leaves behind beside the values: where each stands, and the texts with references."""

    places: dict[Path, Place] = field(default_factory=dict)
    filled: list[Filled] = field(default_factory=list)


@dataclass(frozen=True)
class At:
    """Where the reading is. `path` is the way down from the root, list items by their number from 0."""

    problems: Problems
    notes: Notes
    path: Path = ()

    def down(self, key: str, place: Place) -> At:
        """One level further, noting that it begins at `place`."""
        below = replace(self, path=(*self.path, key))
        self.notes.places[below.path] = place
        return below

    def wrong(self, place: Place, message: str, *, word: str = "", known: tuple[str, ...] = ()) -> Any:
        """Adds a problem; returns BAD."""
        self.problems.add(place.line, place.column, message, word=word, known=known)
        return BAD

    def expected(self, what: str, node: Node) -> Any:
        """Adds the problem that `what` was expected where `node` stands; returns BAD."""
        return self.wrong(node.place, f"expected {what}, found {found(node)}")

    def fill(self, scalar: Scalar, *, shell: bool = False) -> Any:
        """The text of `scalar`, its references noted; BAD where `${…}` in it means nothing or cannot be quoted."""
        parsed, errors = template.scan(scalar.text)
        if shell and not errors:
            errors = template.check_shell(scalar.text)
        for error in errors:
            message = f"{error.message}: {error.hint}" if error.hint else error.message
            known = (error.suggestion,) if error.suggestion else ()
            self.wrong(scalar.place_of(error.offset), message, word=error.suggestion or "", known=known)
        if parsed.references:
            self.notes.filled.append(Filled(self.path, scalar, parsed))
        return BAD if errors else scalar.text


class Shape(Protocol):
    """What a value may look like."""

    def read(self, node: Node, at: At) -> Any:
        """The value in its canonical form, or BAD."""
        ...

    def schema(self) -> dict[str, Any]:
        """The same as JSON Schema (draft 2020-12)."""
        ...


def found(node: Node) -> str:
    """What a node is, in words for a message."""
    match node:
        case Sequence():
            return "a list"
        case Mapping():
            return "a mapping"
        case Scalar() if node.is_null:
            return "nothing" if not node.text else node.text
        case Scalar():
            return clip(node.text)
