"""Phases, declared: what `with` and `next` may hold depends on `uses`."""

from __future__ import annotations

from typing import Any, get_args

from netra_loop.core.loopfile.nodes import Mapping, Node, Scalar
from netra_loop.core.loopfile.scalars import Duration, Fill, Text, Whole, Word
from netra_loop.core.loopfile.shape import BAD, At
from netra_loop.core.loopfile.trees import Either, Key, ListOf, MapOf, Record
from netra_loop.core.outcomes import OUTCOMES
from netra_loop.core.spec import TARGETS, Uses
from netra_loop.values import dataclass

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}"
SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
WAITS = ("commit", "revision", "resume")

COMMAND = Either(
    Text(Fill.YES, "a command", pattern=r"[\s\S]*\S[\s\S]*", for_shell=True),
    ListOf("words of a command", Text(Fill.YES, numbers=True), least=1),
)

_WITH: dict[str, tuple[Key, ...]] = {
    "run": (
        Key(
            "command",
            COMMAND,
            "What to run: a list runs without a shell, a text under `sh -c` with its ${…} shell-quoted.",
            required=True,
        ),
        Key("timeout", Duration(), "How long it may take.", attr="timeout_s"),
        Key(
            "paths",
            ListOf("paths", Text(), least=1),
            "Files and folders it may change, relative to this file; if not given, those of the loop's commits.",
        ),
    ),
    "commit": (
        Key(
            "paths",
            ListOf("paths", Text(), least=1),
            "Files and folders that are committed, relative to this file; a change elsewhere is refused.",
            required=True,
        ),
        Key("message", Text(Fill.YES), "The first line, instead of the fixer's note or the findings' titles."),
    ),
    "compare": (Key("tests", Whole(1, 10_000), "How many tests at most, those of the greatest impact first."),),
    "wait": (
        Key("for", Word(WAITS), "What for: a new commit, a new revision, or `netra-loop resume`.", required=True),
        Key(
            "ref",
            Text(Fill.YES, "a branch", pattern=r"[^\s\-][^\s]*"),
            "For a commit: the branch to look at; if not given, the session's own, or without a workspace HEAD's.",
        ),
        Key("timeout", Duration(), "How long at most; without it as long as the session may work.", attr="timeout_s"),
        Key("period", Duration(), "How long from look to look.", attr="period_s"),
    ),
    "collect-logs": (
        Key("severity", Word(SEVERITIES), "The least severity to read."),
        Key("settle", Duration(zero=True), "How long at most to wait until the logs are complete.", attr="settle_s"),
    ),
}

_USES = Key("uses", Word(get_args(Uses)), "What the phase does.", required=True)
_ATTEMPTS = Key("attempts", Whole(1, 1000), "How often it may be entered in one iteration.")
_DESCRIPTIONS = {
    "with": "The phase's own parameters.",
    "next": "Where each outcome leads: a phase, or done, stop or pause. What is not said goes on in order, or stops.",
}


@dataclass(frozen=True)
class Phase:
    """One state of the machine, as a dict with `uses`, `with_`, `next` and `attempts`."""

    def read(self, node: Node, at: At) -> Any:
        """See `Shape.read`."""
        if not isinstance(node, Mapping):
            return at.expected("a phase: a mapping with uses, with, next, attempts", node)
        uses = node.entries.get("uses")
        known = uses[1].text if uses and isinstance(uses[1], Scalar) and uses[1].text in OUTCOMES else None
        if (
            known is None
        ):  # its with and next cannot be judged: say what is wrong with uses, and nothing that follows from it
            kept = {name: entry for name, entry in node.entries.items() if name not in _DESCRIPTIONS}
            Record("a phase", (_USES, _ATTEMPTS)).read(Mapping(node.place, kept), at)
            return BAD
        read = _record(known).read(node, at)
        needed = [f"{key.name}: …" for key in _WITH.get(known, ()) if key.required]
        if "with" not in node.entries and needed:
            at.wrong(
                at.notes.places.get(at.path, node.place),
                f"a phase that uses {known} needs with: {{{', '.join(needed)}}}",
            )
        return read

    def schema(self) -> dict[str, Any]:
        """See `Shape.schema`."""
        drawn = Record("a phase", (_USES, _ATTEMPTS)).schema()
        drawn["properties"] |= {name: {"description": text, "type": "object"} for name, text in _DESCRIPTIONS.items()}
        drawn["allOf"] = [
            {
                "if": {"properties": {"uses": {"const": uses}}, "required": ["uses"]},
                "then": {
                    "properties": {key.name: key.schema() for key in _record(uses).keys if key.name in _DESCRIPTIONS},
                    **({"required": ["with"]} if any(key.required for key in _WITH.get(uses, ())) else {}),
                },
            }
            for uses in OUTCOMES
        ]
        return drawn


def _record(uses: str) -> Record:
    outcomes = tuple(Key(name, Text(), f"Where to go on after {name}.") for name in OUTCOMES[uses])
    return Record(
        "a phase",
        (
            _USES,
            _ATTEMPTS,
            Key("with", Record(f"with of {uses}", _WITH.get(uses, ())), _DESCRIPTIONS["with"], attr="with_"),
            Key("next", Record(f"next of {uses}", outcomes), _DESCRIPTIONS["next"]),
        ),
    )


PHASES = MapOf("phases", NAME, Phase(), said="letters, digits, _ and -", least=1, named=True, taken=TARGETS)
