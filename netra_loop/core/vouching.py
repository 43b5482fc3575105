"""What the request log says of passes: whether the revision under test answered, whoever sent.

A trace is certain. A test that was seen to talk to nobody, and whose trace is in the log, was answered: by bytes that
went past Python's sockets, or by a program of its own that handed the trace on. A request that bears the trace of no
attempt may be of a program that a test started (curl, node, a browser). Where one attempt alone can have made it,
that attempt is no longer called fake, but not real either: somebody else may use the service. Who runs such tests one
at a time (`xdist_group`) is told more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypedDict

from netra_loop.core.authenticity import canonical_host, host_of, listed, programs_of
from netra_loop.core.goal import WRONG_REVISION
from netra_loop.core.joining import Running
from netra_loop.core.records import BETWEEN_S, Authenticity, Evidence, LogEntry, Outcome, Result
from netra_loop.core.sources import CHANGED

BY_TRACE = "seen in the request log by its trace"
OUR_AGENT = "netra-loop ("  # how the user agent of our own requests begins
_UNANSWERED = frozenset({None, 0, 499})  # 499: the client went away first

_Attempt = tuple[str, int]


class _Judged(TypedDict):
    """The fields of a result that a second look changes."""

    authenticity: Authenticity
    reasons: tuple[str, ...]


def reassess(
    results: Sequence[Result], entries: Iterable[LogEntry], expected: Collection[str], *, complete: bool
) -> list[Result]:
    """`results` of one iteration, in their order, as its request log shows them: see `Vouching`."""
    vouching = Vouching(entries, expected, complete=complete)
    traced = [vouching.take(result) for result in results]
    perhaps = vouching.perhaps()
    return [
        result if (told := perhaps.get((result.id, result.attempt))) is None else replace(result, **told)
        for result in traced
    ]


class Vouching:
    """Holds the results of an iteration against its request log, one by one, so that their evidence need not all be
    held at once: `take` each of them, then ask for `perhaps`. Done again with what it said it changes nothing more.

    `entries` may be all entries of the iteration; those of attempts' own traces will do, if `perhaps` is given the
    others where it asks for them (`asks_for_more`). `expected` are the short names of the revisions under test; where
    it is empty nothing can be said. `complete`: the log was read whole, so that what is not there did not happen.
    """

    def __init__(self, entries: Iterable[LogEntry], expected: Collection[str], *, complete: bool) -> None:
        requests = [entry for entry in entries if entry.log == "requests"] if expected else []
        self._requests = sorted(requests, key=lambda entry: entry.timestamp)
        self._expected = expected
        self._complete = complete
        self._by_trace: dict[str, list[LogEntry]] = defaultdict(list)
        for entry in self._requests:
            if entry.trace_id:
                self._by_trace[entry.trace_id].append(entry)
        self._ours: set[str] = set()
        self._able: list[Result] = []
        self._begun: dict[str, list[datetime]] = defaultdict(list)  # by worker

    @property
    def asks_for_evidence(self) -> bool:
        """Whether `take` may change a result, or keep any of its evidence: where not, it need not be asked."""
        return bool(self._requests) or (bool(self._expected) and self._complete)

    def take(self, result: Result) -> Result:
        """`result`, whose evidence must be there, as the requests of its own trace show it."""
        if not self._expected:
            return result
        own = self._by_trace.get(result.trace_id, ())
        traced = _by_trace(result, own, self._expected)
        if self._complete:
            self._ours.add(result.trace_id)
            self._begun[result.worker].append(result.started_at)
            evidence = result.evidence
            if evidence.children or (not own and _talked(result) and result.authenticity is not Authenticity.FAKE):
                asked = (*evidence.exchanges[:1], *[one for one in evidence.exchanges if one.apart][:1])
                talked = tuple(one for one in evidence.contacts if one.sent and one.received)
                kept = Evidence(talked, asked, mocked=evidence.mocked, children=evidence.children)
                self._able.append(replace(traced, output="", traceback="", evidence=kept))
        return traced

    def asks_for_more(self) -> bool:
        """Once all are taken: whether requests that bear no attempt's trace could change anything."""
        return any(_is_undecided(result) and result.evidence.children for result in self._able)

    def is_strange(self, entry: LogEntry) -> bool:
        """Once all are taken: whether it is an answered request of nobody's trace."""
        if entry.log != "requests" or entry.trace_id in self._ours or entry.revision not in self._expected:
            return False
        return _is_foreign(entry)

    def perhaps(self, more: Iterable[LogEntry] = ()) -> dict[_Attempt, _Judged]:
        """Once all are taken: of the fake passes that started programs, those that are suspect because a request of
        nobody's trace can only be theirs. By id and attempt, what changes of them. `more` are entries that were not
        given before.
        """
        strange = sorted(filter(self.is_strange, (*self._requests, *more)), key=lambda entry: entry.timestamp)
        running, ending = Running(self._able, timedelta(0)), Running(self._until_over(), timedelta(0))
        found: dict[_Attempt, list[LogEntry]] = defaultdict(list)
        for entry in strange:
            at = entry.timestamp
            possible = _able_to_send(entry, running.at(at)) or _able_to_send(entry, ending.at(at))
            if len(possible) == 1:
                found[possible[0].id, possible[0].attempt].append(entry)
        changed = {}
        for result in self._able:
            key = result.id, result.attempt
            told = _perhaps(result, found.get(key, ()))
            if told is not result:
                changed[key] = _Judged(authenticity=told.authenticity, reasons=told.reasons)
        return changed

    def _until_over(self) -> list[Result]:
        """The able with all the time in which they can have asked: until a little after what was counted of it, but not
        beyond the moment when their worker began the next. For what nobody asked in the time that was counted.
        """
        for begun in self._begun.values():
            begun.sort()
        return [replace(one, duration_s=self._lasted_s(one)) for one in self._able]

    def _lasted_s(self, result: Result) -> float:
        begun = self._begun[result.worker]
        following = bisect_right(begun, result.started_at)
        longest_s = result.duration_s + BETWEEN_S
        if following == len(begun):
            return longest_s
        return max(result.duration_s, min(longest_s, (begun[following] - result.started_at).total_seconds()))


def _by_trace(result: Result, own: Sequence[LogEntry], expected: Collection[str]) -> Result:
    """What the requests of this attempt's own trace say of it."""
    if result.authenticity is Authenticity.NOT_APPLICABLE or WRONG_REVISION in result.reasons:
        return result
    foreign = sorted({entry.revision for entry in own if entry.revision not in expected})
    if foreign:
        detail = f"answered by {', '.join(foreign)}, expected {', '.join(sorted(expected))}"
        return replace(result, authenticity=Authenticity.FAKE, reasons=(WRONG_REVISION, detail, *result.reasons))
    answered = [entry for entry in own if _status(entry) not in _UNANSWERED]
    broken = tuple(dict.fromkeys(_told(entry) for entry in answered if (_status(entry) or 0) >= 500))
    if result.authenticity is Authenticity.REAL and broken:
        return replace(result, authenticity=Authenticity.SUSPECT, reasons=(*broken, *result.reasons))
    if result.authenticity is not Authenticity.FAKE or len(answered) <= _not_its_own(result.evidence):
        return result
    signs = (*broken, *(reason for reason in result.reasons if reason.startswith(CHANGED)))
    return replace(
        result, authenticity=Authenticity.SUSPECT if signs else Authenticity.REAL, reasons=(*signs, BY_TRACE)
    )


def _not_its_own(evidence: Evidence) -> int:
    """How many answers a client of the test's process got without a byte of the test's own, though with its trace:
    what stands in the log for them was not asked by the test.
    """
    talked = {(canonical_host(one.host), one.port) for one in evidence.contacts if one.sent and one.received}
    answered = [one for one in evidence.exchanges if one.status is not None and not one.apart]
    return sum(host_of(one.url) not in talked for one in answered)


def _able_to_send(entry: LogEntry, running: Sequence[Result]) -> Sequence[Result]:
    return _senders(entry, [one for one in running if _can_have(one, entry)])


def _can_have(result: Result, entry: LogEntry) -> bool:
    """Whether an attempt that ran then can have sent it: what its programs did is not seen; its own talking is, from
    first byte to last.
    """
    evidence = result.evidence
    return bool(evidence.children) or any(one.first_at <= entry.timestamp <= one.last_at for one in evidence.contacts)


def _senders(entry: LogEntry, running: Sequence[Result]) -> Sequence[Result]:
    """Which of `running` can have sent a request of nobody's trace: those with programs, their own or their fixtures',
    and those that talked untraced, over a bare socket or with a `traceparent` of their own. Where the request's user
    agent names a program that one of them has, it is of such a one, or of a client of the tests' own Python where that
    is what it names.
    """
    agent = _agent(entry).lower()
    named = [result for result in running if any(_is_named(child.program, agent) for child in result.evidence.children)]
    if not named:
        return running
    clients = [one for one in running if one not in named and one.evidence.exchanges and "python" in agent]
    return [*named, *clients]


def _is_named(program: str, agent: str) -> bool:
    name = program.rpartition("/")[2].lower().rstrip("0123456789.")
    return bool(name) and name in agent


def _perhaps(result: Result, requests: Sequence[LogEntry]) -> Result:
    if not _is_undecided(result):
        return result
    requests = [entry for entry in requests if _is_of_its_own(entry, result.evidence)]
    if not requests:
        return result
    told = (
        f"{programs_of(result.evidence)}, and a request without a test's trace came at that time: "
        f"{listed(map(_told, requests))}"
    )
    changed = (reason for reason in result.reasons if reason.startswith(CHANGED))
    return replace(result, authenticity=Authenticity.SUSPECT, reasons=(told, *changed))


def _is_undecided(result: Result) -> bool:
    fake = result.authenticity is Authenticity.FAKE and result.outcome is Outcome.PASSED
    return fake and not result.evidence.mocked and WRONG_REVISION not in result.reasons


def _is_of_its_own(entry: LogEntry, evidence: Evidence) -> bool:
    """Whether a program of the test can have sent `entry`, and nothing that the end of a shared fixture did."""
    agent = _agent(entry).lower()
    own = [child.program for child in evidence.children if not child.apart]
    others = [child.program for child in evidence.children if child.apart]
    if others or any(exchange.apart for exchange in evidence.exchanges):
        return any(_is_named(name, agent) for name in own) and not any(_is_named(name, agent) for name in others)
    return bool(own)


def _talked(result: Result) -> bool:
    return any(contact.sent and contact.received for contact in result.evidence.contacts)


def _is_foreign(entry: LogEntry) -> bool:
    """Whether an answered request is none of netra-loop's own."""
    return _status(entry) not in _UNANSWERED and not _agent(entry).startswith(OUR_AGENT)


def _agent(entry: LogEntry) -> str:
    return str((entry.request or {}).get("user_agent") or "")


def _status(entry: LogEntry) -> int | None:
    status = (entry.request or {}).get("status")
    return status if isinstance(status, int) else None


def _told(entry: LogEntry) -> str:
    return f"{entry.message}, by the request log" if entry.message else "a request, by the request log"
