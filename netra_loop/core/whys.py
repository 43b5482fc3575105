"""The last of the whys: from the place where it was raised to the commit that last touched it, and the first one that
no evidence answers, which is the fixer's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from netra_loop.core.records import Cause, Finding, FindingState, RootCause, Symptom
from netra_loop.core.source_lines import Place

OPEN = "? not known yet"
_NOBODY_ASKS = frozenset({Cause.ENVIRONMENT, Cause.DEPLOY})
_NONE_HAS_NO = re.compile(r"'NoneType' object has no attribute '(?P<name>\w+)'")
_HAS_NO = re.compile(r"(?P<kind>'\w+' object|module '[\w.]+'|type object '\w+') has no attribute '(?P<name>\w+)'")
_NONE_IS_NOT = re.compile(r"'NoneType' object is not (?P<what>callable|subscriptable|iterable)")
_OWNER = r"((?:await )?[A-Za-z_][\w.]*(?:\([^()]*\)|\[[^\[\]]*\])?)"


def raised_at(root: RootCause) -> str:
    """The why that names a root cause's place."""
    return f"it was raised at {root.file}:{root.line} in {root.function}"


def grounded(finding: Finding, place: Place | None) -> Finding:
    """`finding` with what its place in the source adds to its whys, and the question that is left. Nothing is added to
    one that is fixed, and nothing twice.
    """
    if finding.state is FindingState.FIXED or (finding.whys and finding.whys[-1].endswith(OPEN)):
        return finding
    whys = list(finding.whys)
    if finding.root_cause is not None and place is not None:
        named = raised_at(finding.root_cause)
        at = whys.index(named) if named in whys else len(whys)
        whys[at : at + 1] = _of_place(named, place)
    asked = question(finding, place)
    return replace(finding, whys=(*whys, f"{asked}{OPEN}") if asked else tuple(whys))


def question(finding: Finding, place: Place | None = None) -> str | None:
    """What a fixer has to find out, without its question mark; None where no fixer is asked."""
    if finding.cause in _NOBODY_ASKS or finding.state is FindingState.FLAKY:
        return None
    root = finding.root_cause
    if root is not None:
        return _of_exception(root, place.source if place is not None else "")
    match finding.symptom:
        case Symptom.TIMEOUT | Symptom.MISSING_EVENT if finding.stage is not None:
            return f"why does nothing follow {finding.stage}"
        case Symptom.WEBSOCKET_CLOSE:
            return f"why does the server close the socket{_after(finding.stage)}"
        case Symptom.ERROR_EVENT:
            return f"why does the server answer with an error{_after(finding.stage)}"
        case Symptom.FAKE_PASS:
            return "why does the test pass without asking the service"
        case Symptom.SERVER_ERROR:
            return "why is it logged while the tests pass"
        case _:
            return None


def _of_place(named: str, place: Place) -> Sequence[str]:
    shown = place.shown()
    whys = ["\n".join((f"{named}:", *shown)) if shown else named]
    if place.touched is not None:
        whys.append(f"line {place.line} was last touched by {place.touched}")
    return whys


def _of_exception(root: RootCause, source: str) -> str:
    if found := _NONE_HAS_NO.search(root.message):
        return f"why is {_owner(source, '.' + found['name']) or 'it'} None here"
    if found := _NONE_IS_NOT.search(root.message):
        after = {"callable": "(", "subscriptable": "["}.get(found["what"])
        return f"why is {(_owner(source, after) if after else None) or 'it'} None here"
    if found := _HAS_NO.search(root.message):
        return f"why has {_owner(source, '.' + found['name']) or found['kind']} no {found['name']} here"
    if root.exception == "KeyError":
        return f"why is the key {root.message[:80] or 'asked for'} not there"
    if root.exception in {"TimeoutError", "CancelledError"}:
        return f"what does {root.function} wait for in vain"
    return f"why does {root.function} raise {root.exception} here"


def _owner(source: str, after: str) -> str | None:
    """What stands before `after` in a line of source: `self._bridge` in `x = self._bridge.run()`; None where more than
    one thing may be meant.
    """
    found = {one.removeprefix("await ") for one in re.findall(_OWNER + re.escape(after) + r"(?!\w)", source)}
    if after.startswith("."):
        found = {one.removeprefix("await ") for one in re.findall(_OWNER + re.escape(after) + r"\b", source)}
    return found.pop() if len(found) == 1 else None


def _after(stage: str | None) -> str:
    return f" after {stage}" if stage else ""
