"""What the request log says of passes: whether the revision under test answered, whoever sent.

A trace is certain. A test that was seen to talk to nobody, and whose trace is in the log, was answered: by bytes that
went past Python's sockets, or by a program of its own that handed the trace on. A request that bears the trace of no
attempt may be of a program that a test started (curl, node, a browser). Where one attempt alone can have made it,
that attempt is no longer called fake, but not real either: somebody else may use the service. Who runs such tests one
at a time (`xdist_group`) is told more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from netra_loop.core.authenticity import canonical_host, host_of, listed
from netra_loop.core.goal import WRONG_REVISION
from netra_loop.core.joining import Running
from netra_loop.core.records import Authenticity, Evidence, LogEntry, Outcome, Result
from netra_loop.core.sources import CHANGED

BY_TRACE = "seen in the request log by its trace"
OUR_AGENT = "netra-loop ("  # how the user agent of our own requests begins
_UNANSWERED = frozenset({None, 0, 499})  # 499: the client went away first

_Attempt = tuple[str, int]


def reassess(
    results: Sequence[Result], entries: Iterable[LogEntry], expected: Collection[str], *, complete: bool
) -> list[Result]:
    """`results` of one iteration, in their order, as its request log shows them. Done again it changes nothing more.

    `entries` may be all entries of the iteration. `expected` are the short names of the revisions under test; where it
    is empty nothing can be said. `complete`: the log was read whole, so that what is not there did not happen.
    """
    if not expected:
        return list(results)
    requests = sorted((entry for entry in entries if entry.log == "requests"), key=lambda entry: entry.timestamp)
    by_trace: dict[str, list[LogEntry]] = defaultdict(list)
    for entry in requests:
        if entry.trace_id:
            by_trace[entry.trace_id].append(entry)
    traced = [_by_trace(result, by_trace.get(result.trace_id, ()), expected) for result in results]
    if not complete:
        return traced
    ours = {result.trace_id for result in results}
    strange = [one for one in requests if one.trace_id not in ours and one.revision in expected and _is_foreign(one)]
    return _by_time(traced, strange, by_trace)


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
    """How many answers a client of the test's process got without a byte of the test's own: at the end of a fixture
    that tests share, whose requests bear the trace of the last.
    """
    talked = {(canonical_host(one.host), one.port) for one in evidence.contacts if one.sent and one.received}
    return sum(one.status is not None and host_of(one.url) not in talked for one in evidence.exchanges)


def _by_time(
    results: Sequence[Result], strange: Sequence[LogEntry], by_trace: Mapping[str, Sequence[LogEntry]]
) -> list[Result]:
    """The fake passes that started programs, suspect where a request of nobody's trace can only be theirs."""
    able = [result for result in results if result.evidence.children or _talked_untraced(result, by_trace)]
    running = Running(able, timedelta(0))
    found: dict[_Attempt, list[LogEntry]] = defaultdict(list)
    for entry in strange:
        possible = _senders(entry, running.at(entry.timestamp))
        if len(possible) == 1:
            found[possible[0].id, possible[0].attempt].append(entry)
    return [_perhaps(result, found.get((result.id, result.attempt), ())) for result in results]


def _senders(entry: LogEntry, running: Sequence[Result]) -> Sequence[Result]:
    """Which of `running` can have sent a request of nobody's trace: those that started programs, and those that talked
    untraced, over a bare socket or with a `traceparent` of their own. Where the request's user agent names a program
    that one of them started, it is of such a one, or of a client of the tests' own Python where that is what it names.
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
    undecided = result.authenticity is Authenticity.FAKE and result.outcome is Outcome.PASSED
    if not requests or not undecided or not result.evidence.children or result.evidence.mocked:
        return result
    if WRONG_REVISION in result.reasons:
        return result
    programs = listed(child.program for child in result.evidence.children)
    told = f"started {programs}, and a request without a test's trace came at that time: {listed(map(_told, requests))}"
    changed = (reason for reason in result.reasons if reason.startswith(CHANGED))
    return replace(result, authenticity=Authenticity.SUSPECT, reasons=(told, *changed))


def _talked_untraced(result: Result, by_trace: Mapping[str, Sequence[LogEntry]]) -> bool:
    talked = any(contact.sent and contact.received for contact in result.evidence.contacts)
    return talked and result.trace_id not in by_trace


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
