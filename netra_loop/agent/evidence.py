"""What the running test did to the network, kept for it alone: one test at a time runs in a worker.

A process that the test forks keeps a record of its own and writes it down piece by piece (`forks`); `end` adds it to
the test's.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from . import forks
from .cuts import cut
from .record import EACH, Record
from .wire import Message, clean, monotonic, wall

_LIMIT = 2000  # contacts kept of one test
_ALL = 3 * EACH
_BODY = 2000
_CHILDREN = 200
_BLIND = 5  # failures of our own observers that are told of one test
_AT_ONCE = 300  # messages of one test that are sent as it makes them; those after wait for their turn
_PAUSE_S = 0.1
_VARIABLE = "TRACEPARENT"  # how OpenTelemetry hands a trace to programs
_PARENT_SPAN = "f" * 16
_NOBODYS = os.urandom(16).hex()  # the trace of what no single test does

Sink = Callable[[Callable[[], "Message | None"]], None]


_sink: Sink | None = None
_current: Record | None = None
_forked: str | None = None  # the file in which forks of the running test write down what they do
_forks = 0  # since this process began; while there are none, nobody looks for that file
_active_mocks: dict[str, int] = {}
_missing: dict[str, None] = {}  # observers that could not be put in place
_counters: list[Callable[[], None]] = []
_listers: list[Callable[[], list[tuple[str, float]]]] = []
_beginners: list[Callable[[], None]] = []
_apart = 0
_shared = 0  # fixtures that tests share are being set up
_of_all = False  # this process was forked by such a fixture
_ordinal = 0
_variable: tuple[str, str | None] | None = None  # what was put into the environment, and what stood there before


def begin(trace: str, sink: Sink | None = None, forked: str | None = None) -> None:
    """From here on everything belongs to the test with this trace id; `sink` is offered it piece by piece.

    `forked` names the file in which forks of this process may write down theirs. Where there is a sink,
    the environment carries the test's trace to the programs it starts.
    """
    global _current, _sink, _forked, _ordinal
    _count()
    _ordinal += 1
    if forked is not None and _forks:
        forks.forget(forked)
    record = Record(trace)
    record.mocked.update(dict.fromkeys(_active_mocks))
    record.blind.update(_missing)
    _current, _sink, _forked = record, sink, forked
    try:
        for beginner in _beginners:
            beginner()
        for running_on in _listers:
            record.children += [(clean(program)[:200], at, "shared") for program, at in running_on()][:_CHILDREN]
        if sink is not None:
            _export(trace)
    except Exception as error:  # a test left something odd as the environment
        blind(error)


def ordinal() -> int:
    """How many tests this process has begun."""
    return _ordinal


def rest() -> Message | None:
    """What `begin`'s sink was not given yet, and the contacts as they stand."""
    record = _current
    if record is None:
        return None
    _count()
    news = record.news(_ALL) or {"frames": [], "exchanges": []}
    return {**news, **record.standing()}


def end() -> Message:
    """What was seen since `begin`, as plain values."""
    global _current, _sink, _forked
    _count()
    record, path = _current, _forked
    _current, _sink, _forked = None, None, None
    if record is None:
        return {}
    try:
        _unexport()
    except Exception as error:
        record.blind[f"{_VARIABLE}: {type(error).__name__}"] = None
    seen = {
        "exchanges": [entry for entry in record.exchanges.all() if not entry.get("unreal")],
        "frames": record.frames.all(),
        **record.standing(),
    }
    if path is not None and _forks:
        forks.merge(seen, path, record.began, record.trace)
    return seen


def note_fork() -> None:
    """The process was forked: from here on others may write what they do."""
    global _forks
    _forks += 1


def continue_in_fork() -> None:
    """In a fork of the running test's process: a record of its own, written down as it grows."""
    global _current, _sink, _of_all, _forks
    if _current is None:
        _forks = 0  # a worker begins: that it was forked itself does not count
        return
    record = Record(_current.trace)
    record.spans = os.getpid() << 32  # no span of the parent's
    _of_all = _of_all or _shared > 0
    _current, _sink = record, None if _forked is None else forks.writer(_forked, None if _of_all else record.trace)


def running() -> bool:
    """Whether a test runs here that is observed."""
    return _sink is not None


def flush() -> None:
    """Tells what is left to tell, now: this process is about to become another, or to end."""
    record = _current
    if record is not None:
        _count()
        record.moved = True
        _tell(record, at_once=True)


def count_with(counter: Callable[[], None]) -> None:
    """`counter` is called whenever contacts are looked at: for those that count bytes by asking for them."""
    if counter not in _counters:
        _counters.append(counter)


def list_with(lister: Callable[[], list[tuple[str, float]]]) -> None:
    """`lister` is asked when a test begins: the programs that run on, and since when."""
    if lister not in _listers:
        _listers.append(lister)


def begin_with(beginner: Callable[[], None]) -> None:
    """`beginner` is called when a test begins."""
    if beginner not in _beginners:
        _beginners.append(beginner)


def _count() -> None:
    for counter in _counters:
        counter()


def _export(trace: str) -> None:
    global _variable
    value = f"00-{trace}-{_PARENT_SPAN}-01"
    _variable = (value, os.environ.get(_VARIABLE))
    os.environ[_VARIABLE] = value


def _unexport() -> None:
    global _variable
    if _variable is None:
        return
    (value, before), _variable = _variable, None
    if os.environ.get(_VARIABLE) != value:
        return  # the test's own doing
    if before is None:
        del os.environ[_VARIABLE]
    else:
        os.environ[_VARIABLE] = before


def blind(error: Exception) -> None:
    """One of our observers failed: the test must not notice, but whoever reads its evidence must know of the gap."""
    record = _current
    if record is not None and len(record.blind) < _BLIND:
        record.blind[f"{type(error).__name__}: {clean(_text_of(error))[:200]}"] = None
        record.moved = True


def blind_to(what: str, error: Exception) -> None:
    """An observer could not be put in place: what `what` does goes unseen, in this test and in those that follow."""
    text = f"{what} is not observed: {type(error).__name__}: {clean(_text_of(error))[:200]}"
    _missing[text] = None
    if _current is not None:
        _current.blind[text] = None


def traceparent() -> str | None:
    """The W3C header for the next request, None while no test runs."""
    record = _current
    if record is None:
        return None
    record.spans += 1
    return f"00-{_NOBODYS if _apart else record.trace}-{record.spans:016x}-01"


def contact(host: str, port: int, sent: int, received: int, thread: str | None = None) -> None:
    """Bytes went to or came from a peer; `thread` is the name of one that does not work for the test (`whose`)."""
    record = _current
    if record is None or _apart > 0:
        return
    now = wall()
    entry = record.contacts.get((host, port, thread))
    if entry is None:
        if len(record.contacts) >= _LIMIT:
            return
        record.contacts[host, port, thread] = [sent, received, now, now]
        news = now >= record.contacts_due
    else:
        news = now >= record.contacts_due or (received > 0 and entry[1] == 0)
        entry[0] += sent
        entry[1] += received
        entry[3] = now
    record.received += received
    record.moved = True
    if news and not record.unanswered:  # else the answer will tell
        _tell(record)


def apart(change: int) -> None:
    """1: what comes from here on is of a fixture that tests share, and no contact of the running test; -1: no more.

    Meanwhile requests and programs get another trace than the test's.
    """
    global _apart
    try:
        _count()  # what was counted till now is of the time till now
        if _apart == 0 or _apart + change == 0:
            _swap()
    except Exception as error:
        blind(error)
    _apart += change


def _swap() -> None:
    global _variable
    record = _current
    if record is None or _variable is None or os.environ.get(_VARIABLE) != _variable[0]:
        return  # the test's own doing
    trace = _NOBODYS if _variable[0].split("-")[1] == record.trace else record.trace
    _variable = (f"00-{trace}-{_PARENT_SPAN}-01", _variable[1])
    os.environ[_VARIABLE] = _variable[0]


def shared(change: int) -> None:
    """1: a fixture that tests share is set up from here on, and what it forks serves them all; -1: no more."""
    global _shared
    _shared += change


def kept_alive(host: str, port: int, sent: int, received: int) -> None:
    """So many of the bytes that `contact` tells of only kept a connection alive."""
    record = _current
    if record is not None and not _apart and (len(record.idle) < _LIMIT or (host, port) in record.idle):
        entry = record.idle.setdefault((host, port), [0, 0])
        entry[0] += sent
        entry[1] += received


def received() -> int:
    """Bytes that came from anywhere since the test began."""
    _count()
    return 0 if _current is None else _current.received


def exchange(method: str, url: str) -> Message:
    """An HTTP request starts; `answered` or `failed` completes what is returned."""
    entry: Message = {
        "method": clean(str(method)),
        "url": clean(url),
        "status": None,
        "at": wall(),
        "duration": 0.0,
        "error": None,
    }
    record = _current
    if record is not None:
        if _apart:
            entry["apart"] = True
        number = entry["number"] = record.exchanges.add(entry)
        record.unanswered.add(number)
        _tell(record)
    return entry


def answered(entry: Message, status: int, url: str | None = None) -> None:
    """The answer's head arrived; `url` where it turned out to be another than was asked for."""
    entry["status"] = int(status)
    entry["duration"] = wall() - entry["at"]
    if url is not None:
        entry["url"] = clean(url)
    _changed(entry, over=True)


def failed(entry: Message, error: BaseException) -> None:
    """No answer came."""
    entry["error"] = cut(clean(f"{type(error).__name__}: {_text_of(error)}"), 500)
    entry["duration"] = wall() - entry["at"]
    _changed(entry, over=True)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:  # of a class of the test's own
        return f"(its text cannot be had: {type(another).__name__})"


def unreal(entry: Message) -> None:
    """It turned out that this exchange never was one: something in this process answered it."""
    entry["unreal"] = True
    _changed(entry, over=True)


def body(entry: Message, content: bytes) -> None:
    """The body of an answer, or the next piece of it; kept only of a short error."""
    status = entry.get("status")
    if status is None or status < 400 or not content:
        return
    size = entry.get("size", 0) + len(content)
    entry["size"] = size
    if size <= _BODY:
        entry["body"] = entry.get("body", "") + clean(content.decode("utf-8", "replace"))
        _changed(entry)
    elif entry.pop("body", None) is not None:
        _changed(entry)


def frame(url: str, kind: str, direction: str, **more: Any) -> None:
    """One event in the life of a WebSocket."""
    record = _current
    if record is not None:
        said = {name: clean(value) if isinstance(value, str) else value for name, value in more.items()}
        row = dict(said, url=clean(url), kind=kind, direction=direction, at=wall())
        record.frames.add(row, (direction, row.get("event")))
        _tell(record)


def child(program: str) -> None:
    """The test starts a program."""
    record = _current
    if record is not None and len(record.children) < _CHILDREN:
        record.children.append((clean(program)[:200], wall(), "apart" if _apart else ""))
        record.moved = True
        _tell(record)


def _changed(entry: Message, *, over: bool = False) -> None:
    record, number = _current, entry.get("number")
    if record is None or number is None:
        return
    if record.exchanges.get(number) is entry:  # else it was begun by an earlier test, or there were too many
        if over:
            record.unanswered.discard(number)
        record.exchanges.untold[number] = entry
        _tell(record)


def _tell(record: Record, *, at_once: bool = False) -> None:
    """Offers the news to the orchestrator, which keeps them in case this process is killed. Never fails the test."""
    sink = _sink
    if sink is None:
        return
    now = monotonic()
    if record.messages >= _AT_ONCE and now - record.told_at < _PAUSE_S and not at_once:
        return
    try:
        sink(record.news)
    except Exception:
        return  # the orchestrator is gone, another thread changed what is being told, or the test forbids what it
        # takes (a detector of blocking calls does): the test's end tells it all
    record.messages += 1
    record.told_at = now
    record.contacts_due = wall() + _PAUSE_S


def mock_entered(name: str) -> None:
    """Something of a network client was replaced."""
    _active_mocks[name] = _active_mocks.get(name, 0) + 1
    mock_seen(name)


def mock_seen(name: str) -> None:
    """Something stood in for a network client."""
    record = _current
    if record is not None and len(record.mocked) < _CHILDREN:
        record.mocked[clean(name)[:200]] = None
        record.moved = True


def mock_left(name: str) -> None:
    """And was put back."""
    left = _active_mocks.get(name, 0) - 1
    if left > 0:
        _active_mocks[name] = left
    else:
        _active_mocks.pop(name, None)
