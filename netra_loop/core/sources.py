"""Whether a test is still the one the session began with: what it comes from, then and now, told by hash.

A test comes from its own file, from the file its function is written in where that is another, from the conftest.py
files above it, from the project's pytest plugins and from pytest's settings. Modules that these import are not looked
at. A journey's source is its text in the loop file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping

from netra_loop.core.model import to_json
from netra_loop.core.records import JOURNEY_PREFIX, Sources
from netra_loop.core.spec import JourneySpec

_COMMON = "", "*"  # among `conftests`: what every test comes from, and the names of what was installed for all of them
CHANGED = "its source changed since the session began: "  # begins the reason


def with_journeys(collected: Sources, journeys: Iterable[JourneySpec]) -> Sources:
    """`collected` and the journeys."""
    texts = {JOURNEY_PREFIX + journey.name: _text(journey) for journey in journeys}
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    return Sources({**collected.files, **hashes}, collected.conftests)


def _text(journey: JourneySpec) -> str:
    """All that it says but for its steps' lines, which move when something else in the loop file is edited."""
    said = journey.model_dump()
    for step in said["steps"]:
        del step["line"]
    return to_json(said)


def unseen(now: Sources, first: Sources) -> Sources:
    """What of `now` the session sees for the first time."""
    return Sources(
        {path: found for path, found in now.files.items() if path not in first.files},
        {path: list(above) for path, above in now.conftests.items() if path not in first.conftests},
    )


def change(path: str, source: str | None, first: Sources, now: Sources) -> str | None:
    """The reason that names what changed about a test of file `path` whose function is written in `source`; None where
    nothing did, and for a file that the session did not begin with.
    """
    if path not in first.files or path not in now.files:
        return None
    common = [one for one in _COMMON if one in first.conftests and one in now.conftests]  # else it is of an old session
    before, after = _of(path, source, first, common), _of(path, source, now, common)
    told = list(_differences(before, after))
    return CHANGED + ", ".join(told) if told else None


def told_of(reason: str) -> list[str]:
    """The names that a reason made by `change` tells; none of any other reason."""
    if not reason.startswith(CHANGED):
        return []
    return [name.removesuffix(" (added)").removesuffix(" (removed)") for name in reason[len(CHANGED) :].split(", ")]


def _of(path: str, source: str | None, sources: Sources, common: Iterable[str]) -> Mapping[str, str | None]:
    told = (name for one in common for name in sources.conftests[one])
    own = (path, *([] if source is None else [source]), *sources.conftests.get(path, ()), *told)
    return {name: sources.files.get(name) for name in own}


def _differences(before: Mapping[str, str | None], after: Mapping[str, str | None]) -> Iterator[str]:
    for name, found in after.items():
        if name not in before:
            yield f"{name} (added)"
        elif found != before[name] and before[name] is not None:
            yield name
    yield from (f"{name} (removed)" for name in before if name not in after)
