"""Findings that no test's own failure tells of: a failed deploy, a token that cannot be had, files that cannot be
collected, tests without a result, and errors that only the server's log shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from netra_loop.core.facts import EntryKey, Facts, key_of, plain, raised
from netra_loop.core.records import Cause, Finding, LogEntry, Symptom
from netra_loop.core.signature import normalise, signature
from netra_loop.core.stacktrace import Source, parse, root_cause
from netra_loop.core.trace_lines import Thrown

_ERRORS = frozenset({"ERROR", "CRITICAL", "ALERT", "EMERGENCY"})
_QUIET = frozenset({"DEBUG", "INFO", "NOTICE"})
_SAID_LINES = 40  # of a collection that hung: its innermost calls come first
_ENDS_WITH = 12  # lines of an error of pytest's, whose place is its end


def deploy_failures(facts: Facts) -> list[Finding]:
    """The finding of a revision that never got ready, with what its container said; empty where there was none."""
    failure = facts.deploy_failure
    if failure is None:
        return []
    source = facts.sources.get(failure.service, Source())
    root = root_cause(parse("\n".join(failure.log_lines)), source)
    detail = f"{failure.reason}: {failure.message}"
    made = failure.revision != ""
    steady = detail.replace(failure.revision, "REVISION") if made else detail  # each deploy has a name of its own
    told = f"{root.exception} in {root.file} {root.function}: {root.message}" if root is not None else steady
    whys = [f"{failure.revision} of {failure.service} never got ready: {detail}" if made else detail]
    if root is not None:
        whys.append(f"its {'container' if made else 'build'} logged {raised(root)}")
    if failure.log_lines:
        whys.append("\n".join((f"its {'container' if made else 'build'}'s last lines:", *failure.log_lines)))
    if failure.hint:
        whys.append(f"what to do: {failure.hint}")
    what = "deploy" if made else "build"
    title = f"{what} of {failure.service} failed: {raised(root) if root is not None else normalise(steady)[:200]}"
    first = facts.tiers[0] if facts.tiers else None
    impact = None if first is None else first.impact or first.name
    words = f"{failure.service} {told}"
    return [plain(facts, Symptom.DEPLOY, Cause.DEPLOY, words, title, root_cause=root, whys=tuple(whys), impact=impact)]


def auth_failures(facts: Facts) -> list[Finding]:
    """The finding of a session that gets no token, with the answer of each way to one; empty where it did."""
    if not facts.auth_failure:
        return []
    told = "; ".join(facts.auth_failure)
    whys = [f"the loop's auth got no token by {answer}" for answer in facts.auth_failure]
    whys.append("what to do: set the keys and secrets that the loop's auth names; netra-loop doctor LOOP tries them")
    first = facts.tiers[0] if facts.tiers else None
    impact = None if first is None else first.impact or first.name
    title = f"no way to a token worked: {told[:200]}"
    return [plain(facts, Symptom.AUTH, Cause.ENVIRONMENT, f"auth {told}", title, whys=tuple(whys), impact=impact)]


def collection_failures(facts: Facts) -> list[Finding]:
    """One finding for each file that pytest could not collect, or for the collection as a whole."""
    found = []
    for error in facts.collection_errors:
        lines = [line.removeprefix("E").strip() for line in error.text.splitlines() if line.startswith("E ")]
        told = (
            lines[-1] if lines else next((line.strip() for line in error.text.splitlines() if line.strip()), "unknown")
        )
        what = error.id if "." in error.id else "nothing"
        title = f"{what} can{'not' if what == error.id else ''} be collected: {told[:160]}"
        whys = [f"pytest could not collect {error.id}" if what == error.id else "pytest could collect nothing", told]
        said = error.text.strip().splitlines()
        if len(said) > 1:
            part = said[-_ENDS_WITH:] if lines else said[:_SAID_LINES]
            whys.append("\n".join(("what was said, and where it stood:", *part)))
        words = f"collection of {error.id}: {told}"
        found.append(plain(facts, Symptom.EXCEPTION, Cause.TEST, words, title, tests=(error.id,), whys=tuple(whys)))
    return found


def missing_results(facts: Facts) -> list[Finding]:
    """Selected tests that left no result, unless the deploy or the selection itself already says why."""
    have = {result.id for result in facts.results}
    lost = tuple(one.id for one in facts.selected if one.id not in have)
    if not lost or facts.deploy_failure is not None:
        return []
    title = f"{len(lost)} selected test{'' if len(lost) == 1 else 's'} left no result"
    return [plain(facts, Symptom.CRASH, Cause.UNKNOWN, "no result was reported", title, tests=lost)]


def only_in_logs(
    facts: Facts,
    exceptions: Sequence[Thrown],
    explained: AbstractSet[EntryKey],
    roots: AbstractSet[str],
    failed: AbstractSet[str],
    perhaps: AbstractSet[EntryKey] = frozenset(),
) -> list[Finding]:
    """Server-side errors over which no test failed: exceptions, entries of severity ERROR, requests answered with 5xx.

    `explained` are the entries and `roots` the signatures that already stand behind a failure; `failed` the failed
    tests: it is not known whether they did so over what was logged while they ran, nor over any of `perhaps`.
    """
    gathered: dict[str, list[Thrown]] = {}
    inside: set[EntryKey] = set()
    for one in exceptions:
        keys = {key_of(entry) for entry in one.entries}
        inside |= keys
        named = signature(Symptom.SERVER_ERROR, "", one.cause)
        if named not in roots and not keys & explained and one.entries[0].severity not in _QUIET:
            gathered.setdefault(named, []).append(one)
    found = []
    for named, many in gathered.items():
        root = replace(many[0].cause, entries=len(many))
        tests = tuple(
            dict.fromkeys(test for one in many if one.trace_id for entry in one.entries for test in entry.tests)
        )
        whys = (
            f"{many[0].entries[0].revision} logged it {len(many)} times" if len(many) > 1 else "it was logged once",
            *_newness(facts, named),
        )
        unknown = any(key_of(entry) in perhaps or failed & set(entry.tests) for one in many for entry in one.entries)
        over = "no test is known to have failed over it" if unknown else "no test failed over it"
        found.append(
            plain(
                facts,
                Symptom.SERVER_ERROR,
                Cause.PRODUCT,
                "",
                f"{raised(root)} — {over}",
                signed=named,
                root_cause=root,
                tests=tests,
                whys=whys,
            )
        )
    traces = {one.trace_id for one in exceptions}
    return [*found, *_loud_entries(facts, inside, failed, traces)]


def _newness(facts: Facts, named: str) -> tuple[str, ...]:
    before = facts.new_errors.get(named)
    return () if before is None else (f"it is new: {before}, the revision before, did not log it",)


def _loud_entries(
    facts: Facts, inside: AbstractSet[EntryKey], failed: AbstractSet[str], traces: AbstractSet[str | None]
) -> list[Finding]:
    """Errors told without a stack trace."""
    seen: dict[str, list[LogEntry]] = {}
    unready = facts.deploy_failure.revision if facts.deploy_failure is not None else None
    for entry in facts.joined.entries:
        if key_of(entry) in inside or failed & set(entry.tests):
            continue
        if entry.trace_id is not None and entry.trace_id in traces:
            continue
        if entry.log == "system" and entry.revision == unready:
            continue  # the platform's own words for what the finding of the deploy tells
        if entry.log == "requests":
            status = int((entry.request or {}).get("status") or 0)
            if status < 500:
                continue
            request = entry.request or {}
            words = f"{request.get('method', '')} {request.get('url', '')} answered {status}".strip()
        elif entry.severity in _ERRORS:
            words = entry.message.strip().splitlines()[0] if entry.message.strip() else "an error without a message"
        else:
            continue
        seen.setdefault(signature(Symptom.SERVER_ERROR, words), []).append(replace(entry, message=words))
    return [
        plain(
            facts,
            Symptom.SERVER_ERROR,
            Cause.PRODUCT,
            entries[0].message,
            f"{normalise(entries[0].message)[:160]} — {len(entries)} in the log, no test failed over it",
            tests=tuple(dict.fromkeys(test for entry in entries if entry.trace_id for test in entry.tests)),
            whys=(f"{entries[0].revision} logged it with severity {entries[0].severity}",),
        )
        for entries in seen.values()
    ]
