"""Problems, made out of an iteration's failures, log entries and what is known from before.

Failures with one root cause are one finding, whatever each of them looked like; without one, failures that look alike
are. A root cause is taken from entries with the attempt's own trace; entries without a trace count only for attempts
that failed on the server's side, and only where they can be of no other test (`causes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from netra_loop.core.causes import SERVER_SIDE, Causes, Why, possibly
from netra_loop.core.facts import DeployFailure, EntryKey, Facts, key_of, plain, raised
from netra_loop.core.goal import final_results
from netra_loop.core.history import stage_of, with_states
from netra_loop.core.joining import OR_NEARLY
from netra_loop.core.records import Cause, Finding, FindingState, LogEntry, Outcome, Result, RootCause, Symptom
from netra_loop.core.signature import finding_id, signature
from netra_loop.core.spec import TierSpec
from netra_loop.core.symptoms import Look, look_at, symptom_of
from netra_loop.core.trace_lines import Thrown, thrown
from netra_loop.core.untested import auth_failures, collection_failures, deploy_failures, missing_results, only_in_logs
from netra_loop.core.whys import of_log, of_wire, raised_at
from netra_loop.values import dataclass

__all__ = ["DeployFailure", "Facts", "make_findings", "open_signatures", "open_tests", "symptom_of"]

_TELLING = (
    *(Symptom.WEBSOCKET_CLOSE, Symptom.HTTP_STATUS, Symptom.ERROR_EVENT, Symptom.AUTH, Symptom.MISSING_EVENT),
    *(Symptom.TIMEOUT, Symptom.CONNECTION, Symptom.CRASH, Symptom.EXCEPTION, Symptom.ASSERTION, Symptom.FAKE_PASS),
)


@dataclass
class _Group:
    """Failures that share a signature, while they are being put together."""

    signature: str
    look: Look
    root: RootCause | None = None
    stage: str | None = None
    results: list[Result] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    told: list[Why] = field(default_factory=list)
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
    return frozenset(one.signature for one in findings if _is_open(one))


def open_tests(findings: Iterable[Finding]) -> dict[int, dict[str, frozenset[str]]]:
    """By iteration the tests of its open findings, by signature. `findings` are those of one iteration or of several,
    each iteration's own rows.
    """
    found: dict[int, dict[str, frozenset[str]]] = {}
    for one in filter(_is_open, findings):
        found.setdefault(one.last_iteration, {})[one.signature] = frozenset(one.tests)
    return found


def _is_open(one: Finding) -> bool:
    return one.state not in {FindingState.FIXED, FindingState.FLAKY}


# ------------------------------------------------------------------------------------------------------------ groups


def _telling_attempts(facts: Facts, final: Mapping[str, Result]) -> list[Result]:
    """Of each test that has a failed attempt, the last failed one; and the fake passes, where they are looked for."""
    failed = {one.id: one for one in sorted(facts.results, key=lambda one: one.attempt) if one.outcome.is_failure}
    fakes = [one for test, one in final.items() if test not in failed and facts.authenticity != "off"]
    return [*failed.values(), *fakes]


def _grouped(attempts: Sequence[Result], facts: Facts, exceptions: Sequence[Thrown]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    looks = [(result, look) for result in attempts if (look := look_at(result)) is not None]
    causes = Causes(facts, exceptions, {result.id: look for result, look in looks})
    names: dict[tuple[str, str, RootCause | None, str | None], str] = {}  # many failures are told by the same
    for result, look in looks:
        told = causes.of(result, look)
        why = told.one
        root = why.cause if why is not None else None
        stage = result.stage if look.symptom in SERVER_SIDE else None
        told_by = look.alike or look.symptom, look.words, root, stage
        named = names.get(told_by) or names.setdefault(told_by, signature(*told_by))
        group = groups.get(named)
        if group is None:
            group = groups[named] = _Group(named, look, root, result.stage)
        group.results.append(result)
        group.looks.append(look)
        group.told.append(told)
        if why is not None:
            group.by_trace += why.trace_id is not None and why.trace_id == result.trace_id
            group.entries.update({key_of(one): one for one in why.entries})
    for group in groups.values():
        most = min({look.symptom for look in group.looks}, key=_TELLING.index)
        group.look = next(look for look in group.looks if look.symptom is most)
        if group.root is not None:
            same = [one for one in exceptions if signature(group.look.symptom, "", one.cause) == group.signature]
            group.root = replace(group.root, entries=len(same))
    return groups


# ------------------------------------------------------------------------------------------------------------ findings


def _finding(group: _Group, facts: Facts) -> Finding:
    tests = tuple(dict.fromkeys(result.id for result in group.results))
    many = f"{len(tests)} test{'' if len(tests) == 1 else 's'}"
    stage = _common_stage(group)
    if group.root is not None:
        title = f"{raised(group.root)} — {many}, {_short(group)}"
    else:
        title = f"{group.look.symptom}: {_short(group)} — {many}"
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
        stage=stage,
        whys=_whys(group, many, facts, stage),
    )


def _short(group: _Group) -> str:
    """What the failures look like, and after which stage where that is one; it says so where some look otherwise."""
    short = group.look.short
    alike = group.root is None and all(result.stage == group.stage for result in group.results)
    after = f" after {group.stage}" if alike and group.stage and group.stage not in short else ""
    others = any(look.short != short for look in group.looks)
    return f"{short}{after}{' among others' if others else ''}"


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


def _whys(group: _Group, many: str, facts: Facts, stage: str | None) -> tuple[str, ...]:
    """As far down as the evidence goes, one sentence for each why, and no further."""
    shown = Counter(look.short for look in group.looks).most_common(3)
    first = "; ".join(f"{short} ({times})" if len(shown) > 1 else short for short, times in shown)
    whys = [f"{many} failed: {first}"]
    stages = Counter(result.stage for result in group.results if result.stage is not None)
    if stages:
        reached = ", ".join(f"{name} ({times})" for name, times in stages.most_common(3))
        before = _stage_before(group, facts)
        changed = f"; the iteration before as far as {before}" if before is not None and before != stage else ""
        whys.append(f"the run got as far as {reached}{changed}")
    whys += of_wire(group.results)
    if group.root is not None:
        revisions = sorted({entry.revision for entry in group.entries.values()})
        how = "under the tests' own traces" if group.by_trace else f"while the tests ran{OR_NEARLY}"
        entries = f"{group.root.entries} entr{'y' if group.root.entries == 1 else 'ies'}"
        whys.append(f"{', '.join(revisions)} logged {group.root.exception}: {group.root.message} {how} ({entries})")
        whys.append(raised_at(group.root))
        new = facts.new_errors.get(signature(Symptom.SERVER_ERROR, "", group.root))
        if new is not None:
            whys.append(f"it is new: {new}, the revision before, did not log it")
        return tuple(whys)
    whys += of_log(group.results, facts.joined.entries, facts.warned)
    perhaps = possibly(group.told)
    return tuple(whys) if perhaps is None else (*whys, perhaps)


def _stage_before(group: _Group, facts: Facts) -> str | None:
    """How far these tests got in the iteration before, where they failed then."""
    tests = {result.id for result in group.results}
    before = [one for one in facts.previous if one.last_iteration == facts.iteration - 1]
    return stage_of(tests, finding_id(group.signature), before)


def _flaky_only(groups: Iterable[_Group], final: Mapping[str, Result]) -> frozenset[str]:
    """Signatures whose every test passed in the end."""
    return frozenset(
        group.signature
        for group in groups
        if all(final[result.id].outcome is Outcome.PASSED and result.outcome.is_failure for result in group.results)
    )


def _told(groups: Iterable[_Group]) -> tuple[set[EntryKey], set[str], set[str], set[EntryKey]]:
    """What stands behind failures already: entries, signatures of root causes, and the failed tests; and the entries
    that may stand behind one.
    """
    listed = list(groups)
    return (
        {key for group in listed for key in group.entries},
        {group.signature for group in listed if group.root is not None},
        {result.id for group in listed for result in group.results},
        {key_of(one) for group in listed for why in group.told if why.possible for one in why.possible.entries},
    )
