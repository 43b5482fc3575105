"""What a loop file says rightly and may not mean: told by `validate`, and no reason to refuse the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netra_loop.core.loopfile.checks import after
from netra_loop.core.loopfile.problems import clip
from netra_loop.core.loopfile.shape import At


def doubt(values: Mapping[str, Any], at: At) -> None:
    """Adds a problem for each. `values` have none that is a mistake."""
    _doubt_comparing(values["phases"], at)


def _doubt_comparing(phases: Mapping[str, Mapping[str, Any]], at: At) -> None:
    """`record` reads what was compared in its own iteration, before it."""
    order = list(phases)
    for name, phase in phases.items():
        if phase["uses"] != "compare":
            continue
        later: set[str] = set()
        waiting = [name]
        while waiting:
            found = after(waiting.pop(), phases, order) - {order[0]} - later  # the first begins the next iteration
            later |= found
            waiting += found
        if not any(phases[one]["uses"] == "record" for one in later):
            message = f"phase {clip(name)} decides nothing: no phase after it uses record in the same iteration"
            at.wrong(at.notes.places["phases", name], f"{message}; put it before the one that does")
