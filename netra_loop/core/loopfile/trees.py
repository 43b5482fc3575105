"""Shapes of values made of others: lists, mappings with free names, records with fixed keys, and choices."""

from __future__ import annotations

import re
from typing import Any

from netra_loop.core.loopfile.nodes import Mapping, Node, Scalar, Sequence
from netra_loop.core.loopfile.problems import clip
from netra_loop.core.loopfile.shape import BAD, At, Shape
from netra_loop.values import dataclass


@dataclass(frozen=True)
class Key:
    """A key of a record. `attr` is the model's name for it where that differs, and `""` where no model holds it;
    `nullable`: an explicit null means that it was not given.
    """

    name: str
    shape: Shape
    description: str
    attr: str | None = None
    required: bool = False
    nullable: bool = False

    def schema(self) -> dict[str, Any]:
        """The key's schema, with what an editor shows for it."""
        drawn = self.shape.schema()
        if self.nullable:
            drawn = drawn | {"type": [drawn["type"], "null"]}
        return {"description": self.description} | drawn


@dataclass(frozen=True)
class Record:
    """A mapping with fixed keys; a dict by the models' names from it, without the keys whose values are bad."""

    what: str
    keys: tuple[Key, ...]
    least: int = 0  # how many keys there must be at least

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if not isinstance(node, Mapping):
            return at.expected(f"{self.what}: a mapping with {', '.join(self._names)}", node)
        values = self._values(node, at)
        for key in self.keys:
            if key.required and key.name not in node.entries:
                at.wrong(at.notes.places.get(at.path, node.place), f"{self.what} needs {key.name!r}")
        if len(node.entries) < self.least:
            return at.wrong(node.place, f"{self.what} needs one of {', '.join(self._names)}")
        return values

    def _values(self, node: Mapping, at: At) -> dict[str, Any]:
        values: dict[str, Any] = {}
        known = {key.name: key for key in self.keys}
        for name, (place, value) in node.entries.items():
            key = known.get(name)
            if key is None:
                at.wrong(place.place, f"unknown key {clip(name)} in {self.what}", word=name, known=tuple(self._names))
            elif not (key.nullable and isinstance(value, Scalar) and value.is_null):
                read = key.shape.read(value, at.down(name, place.place))
                if read is not BAD and key.attr != "":
                    values[key.attr or name] = read
        return values

    @property
    def _names(self) -> list[str]:
        return [key.name for key in self.keys]

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        drawn: dict[str, Any] = {
            "type": "object",
            "properties": {key.name: key.schema() for key in self.keys},
            "additionalProperties": False,
        }
        required = [key.name for key in self.keys if key.required]
        return drawn | ({"required": required} if required else {}) | ({"minProperties": 1} if self.least else {})


@dataclass(frozen=True)
class OneOf:
    """A mapping with exactly one of these keys, such as a step; `bare` may stand alone as a word."""

    what: str
    keys: tuple[Key, ...]
    bare: str | None = None

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        names = [key.name for key in self.keys]
        if isinstance(node, Scalar) and node.text == self.bare:
            return {self.bare: True}
        if not isinstance(node, Mapping):
            return at.expected(f"{self.what}: one of {', '.join(names)}", node)
        read = Record(self.what, self.keys).read(node, at)
        if len(node.entries) != 1:
            return at.wrong(
                node.place,
                f"expected {self.what} with exactly one of {', '.join(names)}, found {len(node.entries)}",
            )
        return read or BAD

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        drawn = Record(self.what, self.keys).schema() | {"minProperties": 1, "maxProperties": 1}
        return {"anyOf": [{"const": self.bare}, drawn]} if self.bare else drawn


@dataclass(frozen=True)
class ListOf:
    """A list; `least` items at the least."""

    what: str
    item: Shape
    least: int = 0

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if not isinstance(node, Sequence):
            return at.expected(f"a list of {self.what}", node)
        if len(node.items) < self.least:
            return at.wrong(node.place, f"expected a list of {self.what}, found an empty one")
        items = [self.item.read(item, at.down(str(index), item.place)) for index, item in enumerate(node.items)]
        return BAD if any(item is BAD for item in items) else items

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        least = {"minItems": self.least} if self.least else {}
        return {"type": "array", "items": self.item.schema()} | least


@dataclass(frozen=True)
class MapOf:
    """A mapping whose keys are the user's names. `named`: each value also holds its own name. `taken` are refused."""

    what: str
    names: str
    item: Shape
    said: str = ""
    least: int = 0
    named: bool = False
    taken: tuple[str, ...] = ()

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`. Names whose value is bad are left out, the rest is still worth checking."""
        if not isinstance(node, Mapping):
            return at.expected(f"a mapping of {self.what}", node)
        if len(node.entries) < self.least:
            return at.wrong(node.place, f"expected a mapping of {self.what}, found an empty one")
        values = {}
        for name, (key, value) in node.entries.items():
            if name in self.taken:
                at.wrong(key.place, f"{name!r} is taken and cannot be among {self.what}")
            elif not re.fullmatch(self.names, name):
                at.wrong(key.place, f"{clip(name)} cannot name one of {self.what}, expected {self.said}")
            read = self.item.read(value, at.down(name, key.place))
            if read is not BAD:
                values[name] = {"name": name, **read} if self.named else read
        return values

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        drawn: dict[str, Any] = {"type": "object", "additionalProperties": self.item.schema()}
        names: dict[str, Any] = {"pattern": f"^{self.names}$"}
        if self.taken:
            names["not"] = {"enum": list(self.taken)}
        return drawn | {"propertyNames": names} | ({"minProperties": self.least} if self.least else {})


@dataclass(frozen=True)
class Either:
    """Text or something else: `text` reads single values, `other` lists or mappings."""

    text: Shape
    other: Shape

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        return (self.text if isinstance(node, Scalar) else self.other).read(node, at)

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"anyOf": [self.text.schema(), self.other.schema()]}
