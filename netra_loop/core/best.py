"""Which revision an unmet session leaves its services at: the best of those that it tested."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from netra_loop.core.records import Verdict
from netra_loop.core.stability import TAMPERED
from netra_loop.core.state import Judged, State

_SILENT = ("skipped", "xfailed")


@dataclass(frozen=True)
class Best:
    """The iteration that stood best, the newest that was judged likewise, and each service's revision in the former."""

    iteration: int
    newest: int
    revisions: Mapping[str, str]
    failures: int
    failures_newest: int


def best(state: State, services: Collection[str]) -> Best | None:
    """The iteration with the fewest failing tests, tier by tier in their order, the newest of several; None where none
    can be told: where fewer than two count.

    An iteration counts where each of `services` was deployed in it, all tests were selected and it was judged on what
    it showed. One in which more tests said nothing, or were gone, than in the first does not, nor one whose tests were
    tampered with: fewer failures are no merit then.
    """
    deployed: dict[int, dict[str, str]] = {}
    for one in state.deployed:
        if one.made:
            deployed.setdefault(one.iteration, {})[one.revision.service] = one.revision.name
    counted = [
        one
        for one in state.judged
        if one.full
        and one.verdict is not Verdict.INCONCLUSIVE
        and one.counts.get("selected")
        and set(services) <= set(deployed.get(one.iteration, ()))
    ]
    if len(counted) < 2:
        return None
    most = counted[0].counts["selected"]
    loud = [one for one in counted if _silent(one, most) <= _silent(counted[0], most) and not _is_tampered(one)]
    if not loud:
        return None
    chosen = min(loud, key=lambda one: (_failures(one), -one.iteration))
    newest = counted[-1]
    return Best(
        chosen.iteration,
        newest.iteration,
        {service: deployed[chosen.iteration][service] for service in services},
        sum(_failures(chosen)),
        sum(_failures(newest)),
    )


def _failures(one: Judged) -> tuple[int, ...]:
    return tuple(tier.failures for tier in one.tiers)


def _silent(one: Judged, most: int) -> int:
    """How many tests say nothing; of `most`, those that are gone among them."""
    return sum(one.counts.get(outcome, 0) for outcome in _SILENT) + max(0, most - one.counts["selected"])


def _is_tampered(one: Judged) -> bool:
    return any(reason.startswith(TAMPERED) for reason in one.reasons)
