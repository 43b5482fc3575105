"""Stages, declared: how far along its path a test got."""

from __future__ import annotations

from typing import Any

from netra_loop.core.loopfile.nodes import Mapping, Node, Scalar, Sequence
from netra_loop.core.loopfile.scalars import Text
from netra_loop.core.loopfile.shape import BAD, At
from netra_loop.core.loopfile.trees import Either, Key, ListOf, Record
from netra_loop.core.spec import BUILT_IN_STAGES
from netra_loop.values import dataclass

_NAME = Text(
    pattern=r"[A-Za-z0-9][A-Za-z0-9_.:/ -]{0,62}",
    what="a stage's name: letters, digits, _ . : / - and blanks, 63 at most",
)
_EVENT = Text(pattern=r"\S(.{0,198}\S)?", what="an event's name")
_EVENTS = Either(_EVENT, ListOf("events", _EVENT, least=1))
_STATUS = Text(pattern=r"[1-5](xx|[0-9][0-9])", what="a status such as 201 or 2xx", numbers=True)
_WAYS = ("received", "sent", "request")
_WAY = Record(
    "a way to a stage",
    (
        Key("received", _EVENTS, "Reached once a frame with this event, or one of these, came from the server."),
        Key("sent", _EVENTS, "Reached once a frame with this event, or one of these, was sent by the test."),
        Key(
            "request",
            Text(
                pattern=r"((GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) )?/[^\s?#]*",
                what="a request such as POST /runs or GET /runs/*",
            ),
            "Reached once this was answered: a method (any, if not given) and a path, * for one segment, ** for any.",
        ),
        Key(
            "status",
            Either(_STATUS, ListOf("statuses", _STATUS, least=1)),
            "The status, or statuses, of the answer, such as 201 or 2xx; any below 400 if not given.",
        ),
    ),
)


@dataclass(frozen=True)
class Stage:
    """A name alone (the event received, or what the connection tells), or one name with the way it is reached."""

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if isinstance(node, Scalar):
            name = _NAME.read(node, at)
            if name is BAD:
                return BAD
            return {"name": name, **({"built_in": True} if name in BUILT_IN_STAGES else {"received": [name]})}
        if not isinstance(node, Mapping) or len(node.entries) != 1:
            return at.expected("a stage: a name, or one name with how it is reached, such as asked: {sent: ask}", node)
        ((key, value),) = node.entries.values()
        name, way = _NAME.read(key, at), _way(value, at.down(key.text, key.place))
        return BAD if BAD in (name, way) else {"name": name, **way}

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        way = _WAY.schema() | {
            "oneOf": [{"required": [one]} for one in _WAYS],
            "dependentRequired": {"status": ["request"]},
        }
        return {
            "anyOf": [
                _NAME.schema(),
                {
                    "type": "object",
                    "propertyNames": _NAME.schema(),
                    "additionalProperties": {"anyOf": [*_EVENTS.schema()["anyOf"], way]},
                    "minProperties": 1,
                    "maxProperties": 1,
                },
            ],
        }


def _way(node: Node, at: At) -> Any:
    """How a stage is reached, as the fields of its model; events alone are received ones."""
    if isinstance(node, Scalar | Sequence):
        events = _EVENTS.read(node, at)
        return BAD if events is BAD else {"received": _several(events)}
    way = _WAY.read(node, at)
    given = [one for one in _WAYS if one in node.entries]
    if node.entries.keys() - {key.name for key in _WAY.keys}:
        return BAD  # a mistyped way, most likely, and reported as such
    if len(given) != 1:
        found = " and ".join(given) or "none of them"
        return at.wrong(at.notes.places[at.path], f"a stage is reached by one of {', '.join(_WAYS)}, found {found}")
    if "status" in node.entries and given != ["request"]:
        return at.wrong(node.entries["status"][0].place, "status belongs to a stage that is reached by a request")
    if way is BAD or set(way) != set(node.entries):
        return BAD  # a part of it was reported where it stands
    return {key: value if key == "request" else _several(value) for key, value in way.items()}


def _several(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


STAGES = ListOf("stages", Stage(), least=1)
