"""Log entries to rows and back, as `codec` does it with everything else: they are by far the most rows that there are.

The column `request` holds the instance as well, and `tests` by what they were joined where that does not go without
saying.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from math import isfinite
from operator import itemgetter
from typing import Any

from netra_loop.core.records import LogEntry, LogEntryDraft
from netra_loop.core.remembering import Remembered
from netra_loop.journal import tables as t
from netra_loop.journal.codec import WORDS, Row, Values, canonical, clean, write_all_at, write_at

QUIET = ("DEFAULT", "DEBUG", "INFO", "NOTICE")  # severities
ENTRY_READ = t.entries.names[1:]  # what `entries_from_values` reads, in its order

_SETS = 512  # of tests that are remembered: of all that run at a moment, each may be tens of kilobytes
_INSTANCE = ""  # the key, no field of a request, under which its column holds the instance; first in order
_INSTANCE_FIRST = '{"":'
_NO_TESTS: tuple[tuple[str, ...], str | None] = ((), None)
_ONLY: Remembered[str, str] = Remembered(lambda instance: canonical({_INSTANCE: instance}))
_INSTANCES: Remembered[str, str] = Remembered(lambda text: json.loads(text)[_INSTANCE])  # of columns with nothing else
_USUAL = ("latency_s", "method", "status", "url", "user_agent")  # fields of a request
_usual = itemgetter(*_USUAL)
_quoted: Callable[[str], str] = json.encoder.encode_basestring_ascii  # TypeError for what is no text
_QUOTED: Remembered[str, str] = Remembered(_quoted)  # of what many requests say
_scan: Any = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # what decode calls, without its search for spaces
_intern = sys.intern
_from_iso = datetime.fromisoformat


def entry_to_row(session: str, item: LogEntry) -> Row:
    """One log entry."""
    return dict(zip(t.entries.names, entries_values(session, [item])[0], strict=True))


def entries_values(session: str, entries: Sequence[LogEntry]) -> list[Values]:
    """The same of several, without names."""
    rows: list[Values] = []
    words, only = WORDS, _ONLY
    for item, at in zip(entries, write_all_at([item.timestamp for item in entries]), strict=True):
        message, insert_id, trace_id, tests = item.message, item.insert_id, item.trace_id, item.tests
        payload, request, instance = item.payload, item.request, item.instance
        asked = None if request is None else _request_text(request)
        if instance is not None:  # all fields of a request come after it in order
            asked = f"{only[instance][:-1]},{asked[1:]}" if asked and request else only[instance]
        rows.append(
            (
                session,
                at,
                words[item.log],
                insert_id if insert_id.isascii() and "\0" not in insert_id else clean(insert_id),
                item.iteration,
                words[item.severity],
                words[item.service],
                words[item.revision],
                None if trace_id is None else words[trace_id],
                _tests_column(tests, item.joined) if tests else "[]",
                asked,
                message if message.isascii() and "\0" not in message else clean(message),
                None if payload is None else canonical(payload),
            )
        )
    return rows


def _request_text(request: Row) -> str:
    """`canonical` of it; of a request with the usual fields in a third of the time."""
    try:
        latency_s, method, status, url, agent = _usual(request)
        if len(request) == len(_USUAL) and type(status) is int and type(latency_s) is float and isfinite(latency_s):
            return (
                f'{{"latency_s":{latency_s!r},"method":{_QUOTED[method]},"status":{status},'
                f'"url":{_quoted(url)},"user_agent":{_QUOTED[agent]}}}'
            )
    except (KeyError, TypeError):  # others, or not of the usual kinds
        pass
    return canonical(request)


def entry_from_row(row: Mapping[str, Any]) -> LogEntry:
    """The reverse of `entry_to_row`."""
    return entries_from_values([tuple(row[name] for name in ENTRY_READ)])[0]


def entries_from_values(rows: Iterable[Sequence[Any]], *, lean: bool = False) -> list[LogEntry]:
    """The same of several rows of `ENTRY_READ`. `lean`: a payload without a text of several lines stays empty, for
    whoever looks for stack traces alone.
    """
    found: list[LogEntry] = []
    instances = _INSTANCES
    for at, log, insert_id, iteration, severity, service, revision, trace_id, tests, request, message, payload in rows:
        entry: Any = LogEntryDraft()
        entry.timestamp = instant = _from_iso(at)
        if instant.tzinfo is not UTC:
            raise ValueError(f"{at!r} is no instant in UTC")
        entry.severity, entry.log = _intern(severity), _intern(log)
        entry.service, entry.revision = _intern(service), _intern(revision)
        entry.message, entry.insert_id, entry.iteration = message, insert_id, iteration
        entry.trace_id = trace_id and _intern(trace_id)
        entry.tests, entry.joined = _NO_TESTS if tests == "[]" else _tests_known(tests)
        if request is None:
            entry.request = entry.instance = None
        elif (instance := instances.get(request)) is not None:
            entry.request, entry.instance = None, instance
        else:
            entry.request, entry.instance = _request_from_column(request)
        if payload is not None:
            payload = {} if lean and "\\n" not in payload else _loaded(payload)  # noqa: PLW2901 - quicker
        entry.payload = payload
        entry.__class__ = LogEntry
        found.append(entry)
    return found


def _loaded(text: str) -> Any:
    """`json.loads` of what `canonical` wrote, which has no spaces round it."""
    try:
        value, end = _scan(text, 0)
    except StopIteration as error:
        raise ValueError(f"no JSON at {error.value}") from error
    if end != len(text):
        raise ValueError(f"more than one JSON value, at {end}")
    return value


def _request_from_column(text: str) -> tuple[Row | None, str | None]:
    if text.startswith(_INSTANCE_FIRST) and '","' not in text:
        return None, _INSTANCES[text]
    request = _loaded(text)
    return request, request.pop(_INSTANCE, None)


def is_quiet(entry: LogEntry) -> bool:
    """Whether no error can be in it, and its tests are known: see `Journal.entry_pages`."""
    if entry.payload is None or entry.log == "requests" or entry.severity not in QUIET or not entry.tests:
        return False
    return "\\n" not in canonical(entry.payload) and "\n" not in entry.message


@lru_cache(maxsize=_SETS)
def _tests_column(tests: tuple[str, ...], by: str | None) -> str:
    return canonical(tests if by is None else {"joined": by, "tests": tests})


@lru_cache(maxsize=_SETS)
def _tests_known(text: str) -> tuple[tuple[str, ...], str | None]:
    known = json.loads(text)
    tests, joined_by = (known["tests"], known["joined"]) if isinstance(known, dict) else (known, None)
    return tuple(map(_intern, tests)), joined_by


def joined(earlier: Mapping[str, Any], later: Row) -> Row:
    """`later` as it replaces `earlier`, the same entry: tests add up, the iteration stays the first one's."""
    return {**later, "tests": tests_of_both(earlier, later), "iteration": earlier["iteration"]}


def tests_of_both(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> str:
    """The column `tests` of one entry that two rows know: they add up, but what was joined by more than the time stands
    against what was not.
    """
    before, after = str(earlier["tests"]), str(later["tests"])
    if before == after or "[]" in {before, after}:
        return before if after == "[]" else after
    first, second = json.loads(before), json.loads(after)
    if isinstance(first, dict) != isinstance(second, dict):
        return before if isinstance(first, dict) else after
    if isinstance(first, dict):
        both = list(dict.fromkeys((*first["tests"], *second["tests"])))
        return canonical({"joined": min(first["joined"], second["joined"]), "tests": both})
    return canonical(list(dict.fromkeys((*first, *second))))


def joined_to_row(item: LogEntry) -> Row:
    """The columns that `Batch.joined` needs: the entry's key, and its tests."""
    return {
        "log": clean(item.log),
        "timestamp": write_at(item.timestamp),
        "insert_id": clean(item.insert_id),
        "tests": _tests_column(item.tests, item.joined) if item.tests else "[]",
    }


def entry_key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """What makes an entry one: log, timestamp and insert id."""
    return (row["log"], row["timestamp"], row["insert_id"])
