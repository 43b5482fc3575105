"""Problems, made out of an iteration's failures, log entries and what is known from before.

Failures with one root cause are one finding, whatever each of them looked like; without one, failures that look alike
are. A root cause is taken from entries with the attempt's own trace; entries without a trace count only for attempts
that failed on the server's side, because time alone proves little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from netra_loop.core.facts import DeployFailure, EntryKey, Facts, key_of, plain, raised
from netra_loop.core.goal import final_results
from netra_loop.core.history import with_states
from netra_loop.core.joining import Joined
from netra_loop.core.records import Cause, Finding, FindingState, LogEntry, Outcome, Result, RootCause, Symptom
from netra_loop.core.signature import signature
from netra_loop.core.spec import TierSpec
from netra_loop.core.symptoms import Look, last_close, look_at, symptom_of
from netra_loop.core.trace_lines import Thrown, thrown
from netra_loop.core.untested import auth_failures, collection_failures, deploy_failures, missing_results, only_in_logs

__all__ = ["DeployFailure", "Facts", "make_findings", "open_signatures", "symptom_of"]

_SERVER_SIDE = frozenset(
    {
        Symptom.WEBSOCKET_CLOSE,
        Symptom.ERROR_EVENT,
        Symptom.HTTP_STATUS,
        Symptom.TIMEOUT,
        Symptom.MISSING_EVENT,
    },
)
_TELLING = (
    *(Symptom.WEBSOCKET_CLOSE, Symptom.HTTP_STATUS, Symptom.ERROR_EVENT, Symptom.AUTH, Symptom.MISSING_EVENT),
    *(Symptom.TIMEOUT, Symptom.CONNECTION, Symptom.CRASH, Symptom.EXCEPTION, Symptom.ASSERTION, Symptom.FAKE_PASS),
)
_ERRORS = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})


@dataclass
class _Group:
    """Failures that share a signature, while they are being put together."""

    signature: str
    look: Look
    root: RootCause | None = None
    stage: str | None = None
    results: list[Result] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    entries: dict[EntryKey, LogEntry] = field(default_factory=dict)
    by_trace: int = 0


def make_findings(facts: Facts) -> list[Finding]:
    """The findings of an iteration in order of impact, with their state against the iterations before; those that are
    gone are told once more as `fixed`. `last_iteration` of each is this iteration.
    """
    final = final_results(facts.results)
    exceptions = facts.exceptions if facts.exceptions is not None else thrown(facts.joined.entries, facts.sources)
    groups = _grouped(_telling_attempts(facts, final), facts, exceptions)
    ranks: dict[str | None, int] = {tier.name: rank for rank, tier in enumerate(facts.tiers)}
    found = [
        *deploy_failures(facts),
        *auth_failures(facts),
        *collection_failures(facts),
        *missing_results(facts),
        *sorted((_finding(group, facts) for group in groups.values()), key=lambda one: _rank(one, final, ranks)),
        *only_in_logs(facts, exceptions, *_told(groups.values())),
    ]
    once = {one.id: one for one in reversed(found)}
    ordered = [one for one in found if once.pop(one.id, None) is not None]
    flaky = _flaky_only(groups.values(), final)
    return with_states(
        ordered,
        facts.previous,
        final,
        facts.iteration,
        flaky=flaky,
        logs_read=facts.joined.were_read,
    )


def open_signatures(findings: Iterable[Finding]) -> frozenset[str]:
    """The signatures that tell whether an iteration got anywhere: all but those of fixed and flaky findings."""
    return frozenset(one.signature for one in findings if one.state not in {FindingState.FIXED, FindingState.FLAKY})


# ------------------------------------------------------------------------------------------------------------ groups


def _telling_attempts(facts: Facts, final: Mapping[str, Result]) -> list[Result]:
    """Of each test that has a failed attempt, the last failed one; and the fake passes, where they are looked for."""
    failed = {one.id: one for one in sorted(facts.results, key=lambda one: one.attempt) if one.outcome.is_failure}
    fakes = [one for test, one in final.items() if test not in failed and facts.authenticity != "off"]
    return [*failed.values(), *fakes]


def _grouped(attempts: Sequence[Result], facts: Facts, exceptions: Sequence[Thrown]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    causes = _Causes(facts.joined, exceptions)
    for result in attempts:
        look = look_at(result)
        if look is None:
            continue
        why = causes.of(result, look.symptom)
        root = why.cause if why is not None else None
        stage = result.stage if look.symptom in _SERVER_SIDE else None
        named = signature(look.alike or look.symptom, look.words, root, stage)
        group = groups.setdefault(named, _Group(named, look, root, result.stage))
        group.results.append(result)
        group.looks.append(look)
        if why is not None:
            group.by_trace += why.trace_id is not None and why.trace_id == result.trace_id
            group.entries.update({key_of(one): one for one in why.entries})
    for group in groups.values():
        group.look = min(group.looks, key=lambda look: _TELLING.index(look.symptom))
        if group.root is not None:
            same = [one for one in exceptions if signature(group.look.symptom, "", one.cause) == group.signature]
            group.root = replace(group.root, entries=len(same))
    return groups


class _Causes:
    """The exception behind a failure: of its own trace, else one without a trace near the moment it failed."""

    def __init__(self, joined: Joined, exceptions: Sequence[Thrown]) -> None:
        self._joined = joined
        self._by_trace: dict[str, list[Thrown]] = {}
        self._by_entry: dict[EntryKey, Thrown] = {}
        for one in exceptions:
            if one.trace_id is not None:
                self._by_trace.setdefault(one.trace_id, []).append(one)
            else:
                self._by_entry.update({key_of(entry): one for entry in one.entries})

    def of(self, result: Result, symptom: Symptom) -> Thrown | None:
        if not result.outcome.is_failure:
            return None
        own = self._by_trace.get(result.trace_id, [])
        if own:
            return next((one for one in own if one.entries[0].severity in _ERRORS), own[0])
        if symptom not in _SERVER_SIDE:
            return None
        near = {
            id(one): one
            for entry in self._joined.by_time(result)
            if (one := self._by_entry.get(key_of(entry))) is not None
        }
        moment = _failed_at(result)
        return min(
            near.values(),
            key=lambda one: (one.entries[0].joined is None, abs((one.at - moment).total_seconds())),
            default=None,
        )


def _failed_at(result: Result) -> datetime:
    """When the server failed the attempt, as far as the client could see: its close, its error, else the end of what
    came (a test that waits in vain fails long after the server did).
    """
    close = last_close(result)
    if close is not None and close.direction == "received" and result.outcome is not Outcome.TIMEOUT:
        return close.at
    seen = [one for one in result.evidence.frames if one.kind != "close" or one.direction == "received"]
    if seen:
        return seen[-1].at
    if result.evidence.exchanges:
        last = result.evidence.exchanges[-1]
        return last.started_at + timedelta(seconds=last.duration_s)
    return result.started_at + timedelta(seconds=result.duration_s)


# ------------------------------------------------------------------------------------------------------------ findings


def _finding(group: _Group, facts: Facts) -> Finding:
    tests = tuple(dict.fromkeys(result.id for result in group.results))
    many = f"{len(tests)} test{'' if len(tests) == 1 else 's'}"
    if group.root is not None:
        title = f"{raised(group.root)} — {many}, {group.look.short}"
    else:
        stage = f" after {group.stage}" if group.stage and group.stage not in group.look.short else ""
        title = f"{group.look.symptom}: {group.look.short}{stage} — {many}"
    return plain(
        facts,
        group.look.symptom,
        Cause.PRODUCT if group.root is not None else _one_cause(group),
        "",
        title,
        signed=group.signature,
        impact=_impact(group.results, facts.tiers),
        tests=tests,
        root_cause=group.root,
        stage=_common_stage(group),
        whys=_whys(group, many, facts.new_errors),
    )


def _one_cause(group: _Group) -> Cause:
    causes = {look.cause for look in group.looks}
    return causes.pop() if len(causes) == 1 else Cause.UNKNOWN


def _common_stage(group: _Group) -> str | None:
    """The stage most of the failures stopped at."""
    stages = Counter(result.stage for result in group.results if result.stage is not None)
    return stages.most_common(1)[0][0] if stages else None


def _impact(results: Sequence[Result], tiers: Sequence[TierSpec]) -> str | None:
    touched = {result.tier for result in results}
    first = next((tier for tier in tiers if tier.name in touched), None)
    return None if first is None else first.impact or first.name


def _rank(one: Finding, final: Mapping[str, Result], ranks: Mapping[str | None, int]) -> tuple[int, int, str]:
    lowest = min((ranks.get(final[test].tier, len(ranks)) for test in one.tests if test in final), default=len(ranks))
    return lowest, -len(one.tests), one.signature


def _whys(group: _Group, many: str, new_errors: Mapping[str, str]) -> tuple[str, ...]:
    """As far down as the evidence goes, one sentence for each why, and no further."""
    shown = Counter(look.short for look in group.looks).most_common(3)
    first = "; ".join(f"{short} ({times})" if len(shown) > 1 else short for short, times in shown)
    whys = [f"{many} failed: {first}"]
    stages = Counter(result.stage for result in group.results if result.stage is not None)
    if stages:
        whys.append("the run got as far as " + ", ".join(f"{name} ({times})" for name, times in stages.most_common(3)))
    close = next((frame for result in group.results if (frame := last_close(result)) is not None and frame.code), None)
    if close is not None and close.code not in {1000, 1001, 1005}:
        by = "the server" if close.direction == "received" else "the test"
        whys.append(f"{by} closed the WebSocket with {close.code}{f' ({close.reason})' if close.reason else ''}")
    if group.root is not None:
        revisions = sorted({entry.revision for entry in group.entries.values()})
        how = "under the tests' own traces" if group.by_trace else "while the tests ran"
        entries = f"{group.root.entries} entr{'y' if group.root.entries == 1 else 'ies'}"
        whys.append(f"{', '.join(revisions)} logged {group.root.exception}: {group.root.message} {how} ({entries})")
        whys.append(f"it was raised at {group.root.file}:{group.root.line} in {group.root.function}")
        before = new_errors.get(signature(Symptom.SERVER_ERROR, "", group.root))
        if before is not None:
            whys.append(f"it is new: {before}, the revision before, did not log it")
    return tuple(whys)


def _flaky_only(groups: Iterable[_Group], final: Mapping[str, Result]) -> frozenset[str]:
    """Signatures whose every test passed in the end."""
    return frozenset(
        group.signature
        for group in groups
        if all(final[result.id].outcome is Outcome.PASSED and result.outcome.is_failure for result in group.results)
    )


def _told(groups: Iterable[_Group]) -> tuple[set[EntryKey], set[str], set[str]]:
    """What stands behind failures already: entries, signatures of root causes, and the failed tests."""
    listed = list(groups)
    return (
        {key for group in listed for key in group.entries},
        {group.signature for group in listed if group.root is not None},
        {result.id for group in listed for result in group.results},
    )
