"""One model of a session, for people and for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Protocol

from netra_loop.core.records import Authenticity, Finding, FindingState, Outcome, Result, TierVerdict
from netra_loop.core.resuming import first, resume_command
from netra_loop.values import dataclass

TEST_COUNTS = ("selected", *(outcome.value for outcome in Outcome), "flaky", "fake", "suspect")
FINDING_COUNTS = tuple(state.value for state in FindingState)


class Counted(Protocol):
    """An iteration's results, counted; the journal's `Counted` is one."""

    @property
    def once(self) -> Mapping[tuple[Outcome, bool, Authenticity], int]:
        """Tests of a single attempt, by its outcome, its mark and what it was seen as."""
        ...

    @property
    def retried(self) -> Sequence[Result]:
        """Every attempt of the other tests."""
        ...


@dataclass(frozen=True)
class SessionView:
    """How a session stands. `state` is the contract's; `phase` None before the first; `exit_code` None while it may go
    on. `revisions` maps services to short names, `urls` to where they are tested. Counts that are left out are 0.
    `reason` says in a sentence why it stands so, empty where that goes without saying; `command` is how netra-loop has
    to be called here to find the session again. `errors` says how many kinds of errors the logs show, empty for none;
    `vars` are the loop's variables that were given, as they are stored; `earlier` says in a sentence what an iteration
    before left, where this one has not been judged; `regressed` says of tests that passed before and fail now how they
    stood then. `scores` says by the phase of each fixer how its claims turned out; `commits` says what was committed,
    what came of each, and where they are; `waits`, in lines, for what the session waits, and since when.
    """

    session: str
    loop: str
    environment: str
    state: str
    iteration: int
    phase: str | None
    started_at: datetime
    updated_at: datetime
    revisions: Mapping[str, str] = field(default_factory=dict)
    tests: Mapping[str, int] = field(default_factory=dict)
    tiers: tuple[TierVerdict, ...] = ()
    findings: Mapping[str, int] = field(default_factory=dict)
    log_entries: int = 0
    logs_complete: bool = False
    exit_code: int | None = None
    reason: str = ""
    urls: Mapping[str, str] = field(default_factory=dict)
    command: str = "netra-loop"
    errors: str = ""
    vars: Mapping[str, str] = field(default_factory=dict)
    earlier: str = ""
    regressed: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)
    commits: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    @property
    def resume(self) -> str:
        """The command that goes on with it, to be copied."""
        return resume_command(self.command, self.session, self.vars)

    @property
    def first(self) -> str:
        """What has to be done before that, in words; mostly empty."""
        return first(self.vars)


def count_tests(selected: int, results: Iterable[Result]) -> dict[str, int]:
    """The contract's `tests` of `status`: each test by the attempt that counts among the results of one iteration."""
    counts = dict.fromkeys(TEST_COUNTS, 0)
    counts["selected"] = selected
    for result in _that_count(list(results)):
        counts[result.outcome.value] += 1
        counts["flaky"] += result.flaky
        counts["fake"] += result.authenticity is Authenticity.FAKE
        counts["suspect"] += result.authenticity is Authenticity.SUSPECT
    return counts


def _that_count(results: Sequence[Result]) -> Iterable[Result]:
    if not results:
        return ()
    from netra_loop.core.goal import final_results  # and what symptoms are told by: not for a listing's start

    return final_results(results).values()


def count_told(selected: int, counted: Counted) -> dict[str, int]:
    """The same, of results that were counted where they are stored."""
    counts = count_tests(selected, counted.retried)
    for (outcome, flaky, authenticity), number in counted.once.items():
        counts[outcome.value] += number
        counts["flaky"] += number * flaky
        counts["fake"] += number * (authenticity is Authenticity.FAKE)
        counts["suspect"] += number * (authenticity is Authenticity.SUSPECT)
    return counts


def count_findings(findings: Iterable[Finding]) -> dict[str, int]:
    """The contract's `findings` of `status`."""
    counts = dict.fromkeys(FINDING_COUNTS, 0)
    for finding in findings:
        counts[finding.state.value] += 1
    return counts
