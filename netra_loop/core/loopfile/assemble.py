"""Canonical values -> the models of `spec`. Only called with values that have no problem, so it can only succeed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netra_loop.core.loopfile.shape import Notes
from netra_loop.core.spec import LoopSpec

Values = Mapping[str, Any]


def assemble(values: Values, path: Path, notes: Notes) -> LoopSpec:
    """The loop that `values` mean. Without environments there is one, `local`: embedded where the loop has services."""
    default = {"local": {"cloud": "embedded" if "services" in values else "none"}}
    return LoopSpec.model_validate(
        {
            "environments": default,
            **values,
            "path": path.absolute(),
            "seal": _seal(values),
            "tiers": [_tier(tier) for tier in values.get("tiers", [])],
            "journeys": {name: _journey(journey, notes) for name, journey in values.get("journeys", {}).items()},
            "phases": [_phase(phase) for phase in values["phases"].values()],
        },
    )


def _tier(tier: Values) -> Values:
    return {**tier, "select": {"everything": True} if tier.get("select", "all") == "all" else tier["select"]}


def _seal(values: Values) -> tuple[str, ...] | None:
    given = values.get("seal")
    return () if given == "off" else None if given is None else tuple(given)


def _phase(phase: Values) -> Values:
    parameters = dict(phase.get("with_", {}))
    for name, value in parameters.items():
        if isinstance(value, list):
            parameters[name] = tuple(value)
    return {**phase, "with_": parameters}


def _journey(journey: Values, notes: Notes) -> Values:
    place = ("journeys", journey["name"])
    first = []
    if "websocket" in journey:
        first = [{"connect": journey["websocket"], "line": notes.places[*place, "websocket"].line}]
    steps = [
        {**_step(step), "line": notes.places[*place, "steps", str(number)].line}
        for number, step in enumerate(journey["steps"])
    ]
    return {"name": journey["name"], "tier": journey.get("tier"), "steps": [*first, *steps]}


def _step(step: Values) -> Values:
    if "request" not in step:
        return step
    request = {**step["request"], **step["request"].get("expect", {})}
    request.pop("expect", None)
    return {"request": request}
