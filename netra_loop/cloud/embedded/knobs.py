"""What a person or a test can turn while the server runs: delays, quotas, refusals, failing calls.

`knobs.json` in the state folder holds what differs from the defaults. It is replaced whole and looked at with each
call, so a change counts from the next call on.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from netra_loop.cloud.embedded.files import make_folder, read_json, write_json
from netra_loop.values import dataclass

FILE = "knobs.json"
_CODES = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
]


@dataclass(frozen=True)
class Failure:
    """Calls that fail. `call` is a method's name such as UpdateService, `code` a canonical status such as UNAVAILABLE.

    The first `skip` calls pass, the next `times` fail (None: all that follow). `after_effect`: the call does its work
    and only the answer is lost. The answer is held back for `hold_s` seconds first; with the code OK nothing fails and
    the call is only slow. `id` tells two failures apart that are otherwise equal; those that were used up stay so.
    """

    call: str
    code: str = "UNAVAILABLE"
    times: int | None = 1
    skip: int = 0
    after_effect: bool = False
    hold_s: float = 0.0
    message: str = ""
    id: str = ""


@dataclass(frozen=True)
class Knobs:
    """All of them; the defaults are those of a cloud where nothing goes wrong.

    ingest_delay_ms         entries can be read, listed and tailed this much later than they were written
    read_quota_per_min      calls of ListLogEntries and openings of a tail that pass in any 60 s; None: no bound
    reorder_window_ms       entries become readable in an order that differs from their timestamps by up to this much
    duplicate_entries       a page may hold an entry that an earlier page held
    empty_pages             so many empty pages with a token come before each page that is not empty
    page_token_ttl_s        a page token that is older is refused
    drop_tail_after_s       a tail is ended after this time; None: after an hour
    tail_sessions           tails that may be open at one time
    cold_start_ms           an instance takes this much longer until it is up
    lagging_latest_ready_ms latest_ready_revision, and the traffic that follows it, change this much after the revision
                            is ready
    wait_returns_early      WaitOperation answers at once
    lose_operations         operations are NOT_FOUND
    lro_error_code          status of an operation whose revision failed, 9 (today) or 13 (earlier)
    deny                    permissions that the caller lacks, such as run.services.get
    protected               services (short names) that let in only callers with an identity token
    images                  images that are there beside embedded://…
    fail                    calls that fail
    """

    ingest_delay_ms: float = 0.0
    read_quota_per_min: int | None = None
    reorder_window_ms: float = 0.0
    duplicate_entries: bool = False
    empty_pages: int = 0
    page_token_ttl_s: float = 86_400.0
    drop_tail_after_s: float | None = None
    tail_sessions: int = 10
    cold_start_ms: float = 0.0
    lagging_latest_ready_ms: float = 0.0
    wait_returns_early: bool = False
    lose_operations: bool = False
    lro_error_code: int = 9
    deny: tuple[str, ...] = ()
    protected: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    fail: tuple[Failure, ...] = ()


def knobs_of(values: Mapping[str, Any]) -> Knobs:
    """The knobs with these values, as JSON has them. Raises ValueError naming the knob and what it takes."""
    _only_known("knob", values, Knobs)
    made = dict(values)
    for name, value in values.items():
        if name == "fail":
            made[name] = tuple(_failure_of(row) for row in _listed(name, value))
        else:
            made[name] = _typed(name, value, _KINDS[name])
    if made.get("lro_error_code", 9) not in {9, 13}:
        raise ValueError(f"knob lro_error_code is {made['lro_error_code']!r}, expected 9 or 13")
    return Knobs(**made)


def set_knobs(folder: Path, **values: Any) -> Knobs:
    """Turns these knobs of the cloud on `folder`, leaving the others; a value of None gives the default back.

    What is in force from the next call on. Safe before the server starts. Raises ValueError where a knob is unknown or
    its value of the wrong type, and then changes nothing.
    """
    _only_known("knob", values, Knobs)
    present = read_json(folder / FILE) or {}
    wanted = {name: value for name, value in {**present, **values}.items() if value is not None}
    if "fail" in values and values["fail"] is not None:
        rows = [asdict(row) if isinstance(row, Failure) else dict(row) for row in _listed("fail", values["fail"])]
        wanted["fail"] = [row | {"id": row.get("id") or uuid.uuid4().hex} for row in rows]
    knobs = knobs_of(wanted)
    make_folder(folder)
    write_json(folder / FILE, wanted, durable=False)
    return knobs


def knob_of(text: str) -> tuple[str, Any]:
    """`NAME=VALUE` as a person types it: VALUE is JSON, or else a bare word. Raises ValueError without a `=`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no knob, expected NAME=VALUE such as ingest_delay_ms=1500")
    try:
        found = json.loads(value)
    except ValueError:
        found = value
    lists = {"deny", "protected", "images"}
    if name in lists and isinstance(found, str):
        found = [part.strip() for part in found.split(",") if part.strip()]
    return name, found


class KnobFile:
    """The server's view of the file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._seen: tuple[int, int, int] | None = None
        self._knobs = Knobs()

    def now(self) -> Knobs:
        """What is in force. Raises ValueError where the file was changed to something that is no set of knobs."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            self._seen, self._knobs = None, Knobs()
            return self._knobs
        mark = (found.st_mtime_ns, found.st_ino, found.st_size)
        if mark != self._seen:
            values = read_json(self._path) or {}
            if not isinstance(values, dict):
                raise ValueError(f"{self._path} holds {type(values).__name__}, expected an object of knobs")
            self._knobs = knobs_of(values)
            self._seen = mark
        return self._knobs

    def last_good(self) -> Knobs:
        """Like `now`, for work that nobody waits for: where the file is no set of knobs, what it was before."""
        try:
            return self.now()
        except ValueError:
            return self._knobs


_KINDS: dict[str, str] = {field.name: str(field.type) for field in fields(Knobs)}
_FAILURE_KINDS: dict[str, str] = {field.name: str(field.type) for field in fields(Failure)}


def _failure_of(row: Any) -> Failure:
    if isinstance(row, Failure):
        return row
    if not isinstance(row, dict) or "call" not in row:
        raise ValueError(f"knob fail holds {row!r}, expected an object with a call, such as {{'call': 'GetService'}}")
    _only_known("fail", row, Failure)
    made = Failure(**{name: _typed(f"fail.{name}", value, _FAILURE_KINDS[name]) for name, value in row.items()})
    if made.code not in _CODES:
        raise ValueError(f"knob fail: code is {made.code!r}, expected one of {', '.join(_CODES)}")
    return made


def _only_known(what: str, values: Mapping[str, Any], kind: type[Knobs | Failure]) -> None:
    known = [field.name for field in fields(kind)]
    for name in values:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}, expected one of {', '.join(known)}")


def _listed(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"knob {name} is {value!r}, expected a list")  # noqa: TRY004  # one kind of error for a knob
    return list(value)


def _typed(name: str, value: Any, kind: str) -> Any:
    """`value` as the annotation `kind` has it."""
    if value is None and kind.endswith("| None"):
        return None
    plain = kind.removesuffix(" | None")
    if plain == "tuple[str, ...]":
        if all(isinstance(item, str) for item in _listed(name, value)):
            return tuple(value)
        fits = False
    elif plain == "bool" or isinstance(value, bool):
        fits = plain == "bool" and isinstance(value, bool)
    elif plain == "str":
        fits = isinstance(value, str)
    else:
        fits = isinstance(value, int | float if plain == "float" else int) and value >= 0
    if not fits:
        wanted = {"bool": "true or false", "int": "a whole number from 0 on", "float": "a number from 0 on"}
        raise ValueError(f"knob {name} is {value!r}, expected {wanted.get(plain, 'text')}")
    return float(value) if plain == "float" else value
