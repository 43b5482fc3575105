"""Journeys, declared: golden paths told in YAML."""

from __future__ import annotations

from typing import Any

from netra_loop.core.loopfile.nodes import Mapping, Node, Scalar
from netra_loop.core.loopfile.scalars import Duration, Fill, Json, Text, Whole, Word
from netra_loop.core.loopfile.shape import BAD, At
from netra_loop.core.loopfile.trees import Key, ListOf, MapOf, OneOf, Record
from netra_loop.values import dataclass

_URL = Text(Fill.YES)
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEADERS = MapOf(
    "headers",
    _TOKEN,
    Text(Fill.YES, "a header on one line", pattern=r"[^\r\n]*", numbers=True),
    said="a header's name",
)
_WITHIN = Key("within", Duration(), "How long to wait for it; 30s if not given.", attr="within_s")


@dataclass(frozen=True)
class Frame:
    """What a frame must contain: any keys and values, and `within`, the time it may take."""

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if not isinstance(node, Mapping):
            return at.expected("an expectation: the keys and values that the frame contains, and within", node)
        wanted = Mapping(node.place, {name: entry for name, entry in node.entries.items() if name != "within"})
        if not wanted.entries:
            return at.wrong(node.place, "expect needs a key that the frame contains, such as type: agent_started")
        frame: dict[str, Any] = {"contains": Json().read(wanted, at)}
        if "within" in node.entries:
            key, value = node.entries["within"]
            frame["within_s"] = _WITHIN.shape.read(value, at.down("within", key.place))
        return BAD if any(value is BAD for value in frame.values()) else frame

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"type": "object", "properties": {"within": _WITHIN.schema()}, "minProperties": 1, "not": _ONLY_WITHIN}


_ONLY_WITHIN = {"required": ["within"], "maxProperties": 1}


@dataclass(frozen=True)
class Bare:
    """`true`, or nothing at all: the key alone says it."""

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if isinstance(node, Scalar) and node.plain and (node.is_null or node.text == "true"):
            return True
        return at.expected("true or nothing", node)

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        return {"enum": [True, None]}


_CONNECT = Record(
    "a connection",
    (
        Key("url", _URL, "Where to, ws:// or wss://.", required=True),
        Key("headers", _HEADERS, "Headers of the upgrade."),
        Key("subprotocols", ListOf("subprotocols", Text(pattern=_TOKEN)), "Subprotocols offered, the best first."),
    ),
)

_REQUEST = Record(
    "a request",
    (
        Key("method", Word(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")), "GET if not given."),
        Key("url", _URL, "Where to, http:// or https://.", required=True),
        Key("headers", _HEADERS, "Headers to send."),
        Key("json", Json(), "A body to send as JSON.", attr="json_body"),
        Key(
            "expect",
            Record("what is expected", (Key("status", Whole(100, 599), "The status of the answer."),)),
            "What the answer must be; any status below 400 if not given.",
        ),
        _WITHIN,
        Key(
            "save",
            MapOf(
                "saved names",
                r"[A-Za-z_][A-Za-z0-9_-]*",
                Text(
                    pattern=r"[^\s.]+(\.[^\s.]+)*",
                    what="a path into the answer's JSON, such as run.id",
                    numbers=True,
                ),
                said="letters, digits, _ and -",
            ),
            "Names for parts of the answer's JSON, read by later steps as ${saved.NAME}.",
        ),
    ),
)

_STEP = OneOf(
    "a step",
    (
        Key("request", _REQUEST, "One HTTP request."),
        Key("connect", _CONNECT, "Open a WebSocket; it is the one that send, expect and close mean."),
        Key("send", Json(), "Send a frame: any JSON."),
        Key("expect", Frame(), "Wait for the next frame that contains these keys and values, however deep."),
        Key("close", Bare(), "Close the WebSocket."),
    ),
    bare="close",
)

JOURNEYS = MapOf(
    "journeys",
    r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}",
    Record(
        "a journey",
        (
            Key(
                "tier", Text(), "The tier that owns it; if not given, the first that selects it, else the first of all."
            ),
            Key("websocket", _CONNECT, "Short for a first step that connects."),
            Key("steps", ListOf("steps", _STEP, least=1), "What happens, in order.", required=True),
        ),
    ),
    said="letters, digits, _, . and -",
    named=True,
)
