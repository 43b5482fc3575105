"""How things are said to people: durations, events, tests, findings, verdicts. One line each, always harmless."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netra_loop.core import events as e
from netra_loop.core.records import Authenticity, Finding, FindingState, Outcome, Result, RootCause
from netra_loop.report.safe import safe_line
from netra_loop.report.source_phrases import source_event
from netra_loop.report.view import SessionView

MESSAGE_MAX = 300
TAIL_MAX = 10  # lines of a failed command or container that a person is shown at once
OPEN_STATES = frozenset({FindingState.NEW, FindingState.PERSISTING, FindingState.MOVED, FindingState.REGRESSED})


def duration(seconds: float) -> str:
    """`0.25 s`, `12.3 s`, `4 min 05 s`, `2 h 07 min`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 test`, `2 tests`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def percent(fraction: float) -> str:
    """`5%`, `0.5%`."""
    return f"{fraction * 100:.1f}".removesuffix(".0") + "%"


def tests(counts: Mapping[str, int]) -> str:
    """`31 selected: 25 passed, 4 failed, 2 timeout (1 flaky: passed only on retry)`; what is 0 is left out."""
    ended = [f"{counts[o.value]} {o.value}" for o in Outcome if counts.get(o.value)]
    marks = [f"{counts[name]} {name}" for name in ("fake", "suspect", "flaky") if counts.get(name)]
    if counts.get("flaky"):
        marks[-1] += ": passed only on retry"
    return (
        f"{counts.get('selected', 0)} selected"
        + (": " + ", ".join(ended) if ended else ", none ended")
        + (f" ({', '.join(marks)})" if marks else "")
    )


def result(item: Result) -> str:
    """`FAILED tests/test_a.py::test_b (P1, 2.31 s, attempt 2): message`; what does not count says so in brackets."""
    word = item.outcome.value.upper()
    if item.authenticity is Authenticity.FAKE:
        word = f"{word}, but FAKE"
    elif item.authenticity is Authenticity.SUSPECT:
        word = f"{word}, but SUSPECT"
    about = [item.tier or "", duration(item.duration_s), f"attempt {item.attempt}" if item.attempt > 1 else ""]
    about += ["flaky"] if item.flaky else []
    about += [not_counted(item)]
    said = item.message or ", ".join(item.reasons)
    told = f": {safe_line(said, MESSAGE_MAX)}" if said else ""
    return f"{word} {safe_line(item.id)} ({', '.join(safe_line(part) for part in about if part)}){told}"


def not_counted(item: Result) -> str:
    """`not counted: the environment had ended`, where a result says nothing of the revision under test; else empty."""
    if not item.reasons:
        return ""
    from netra_loop.core.goal import GONE, MOVED  # with all that judges: a result that counts can do without

    known = {GONE: "the environment had ended", MOVED: "another revision served"}
    why = next((why for mark, why in known.items() if any(one.startswith(mark) for one in item.reasons)), None)
    return "" if why is None else f"not counted: {why}"


def failed_first(first: Result) -> str:
    """What is said behind a pass on retry: how its first attempt had ended, and with what message."""
    said = f": {first.message}" if first.message else ""
    return safe_line(f"; attempt {first.attempt} was {first.outcome.value}{said}", MESSAGE_MAX)


def place(cause: RootCause) -> str:
    """`agent_service_core.py:41 in start_agent: AttributeError: …`."""
    said = f": {cause.message}" if cause.message else ""
    return safe_line(f"{cause.file}:{cause.line} in {cause.function}: {cause.exception}{said}", MESSAGE_MAX)


def finding(item: Finding) -> str:
    """One finding: its title already says how many tests it explains and where it comes from."""
    head = f"{item.id} {item.state.value} {item.symptom.value} ({item.cause.value})"
    return f"{safe_line(head)}: {safe_line(item.title, MESSAGE_MAX)}"


def verdict(view: SessionView) -> str:
    """The last line: how it stands, why, the exit code or how to go on."""
    why = f": {safe_line(view.reason, MESSAGE_MAX)}" if view.reason else ""
    code = f" (exit {view.exit_code})" if view.exit_code is not None else ""
    command, session = safe_line(view.command), safe_line(view.session)
    match view.state:
        case "met":
            return f"goal met{why}{code}"
        case "paused" | "failed" | "running":
            before = f"; {safe_line(view.first, MESSAGE_MAX)}" if view.first else ""
            return f"{view.state}{why}{code}{before}; go on with: {safe_line(view.resume, 2 * MESSAGE_MAX)}"
        case _:
            return safe_line(f"{view.state}{why}{code}; look at it with: {command} findings {session}")


def tail(item: e.Event) -> list[str]:
    """The last words of a command or a container that failed, harmless; empty for everything else."""
    if not isinstance(item, e.PhaseFinished) or item.outcome != "failed":
        return []
    said = item.facts.get("log_lines") or str(item.facts.get("output") or "").splitlines()
    return [safe_line(str(line), MESSAGE_MAX) for line in list(said)[-TAIL_MAX:]]


def event(item: e.Event) -> str:
    """What an event says, one line, without its phase and iteration."""
    return safe_line(_event(item), 2 * MESSAGE_MAX)


def _event(item: e.Event) -> str:
    match item:
        case e.SessionStarted():
            return f"loop {item.loop} started in environment {item.environment}"
        case e.SessionResumed():
            return f"resumed by process {item.pid} on {item.host}"
        case e.PhaseStarted():
            return "started" if item.attempt <= 1 else f"started, attempt {item.attempt}"
        case e.PhaseRecovered():
            return "found interrupted, going on with it"
        case e.PhaseFinished():
            said = f": {item.summary}" if item.summary else ""
            return f"{item.outcome or 'ended'} in {duration(item.duration_s)}{said}"
        case e.RevisionReady():
            return f"{item.service} is tested as {item.revision} at {item.url}"
        case e.ImageBuilt() | e.TrafficSeen() | e.TrafficMoved() | e.ForeignSeen():
            return _traffic(item)
        case e.Adopted():
            return f"adopted {item.what} {item.name}"
        case e.WaitBegan():
            place, brief = (
                f", in {item.place}" if item.place else "",
                f"; the brief is {item.brief}" if item.brief else "",
            )
            return f"waits for {item.told}{place}{brief}"
        case e.Waited():
            return f"waited {duration(item.seconds)}: {item.why}"
        case e.AuthTried():
            status = f" {item.status}" if item.status is not None else ""
            said = f": {item.answer}" if item.answer else ""
            return f"auth by {item.method} {'worked' if item.ok else 'failed'}{status}{said}"
        case e.SourcesSeen():
            return f"{counted(len(item.files), 'source file')} of the tests noted as they are now"
        case e.ErrorsGrouped():
            none = "no error was logged" if item.complete else "no error was read, but the logs are not complete"
            from netra_loop.core.error_groups import told  # with what signatures are made by: for this line alone

            return told(item.groups, sum(map(len, item.others.values()))) or none
        case e.ErrorsBefore():
            return f"{item.revision}, which served before, had {counted(len(item.signatures), 'error group')}"
        case e.TestsSelected() | e.LogsRead() | e.GoalJudged():
            return _work(item)
        case e.Noted():
            return item.text
        case e.SessionPaused():
            return f"paused: {item.why}"
        case e.SessionFailed():
            return f"failed with exit code {item.exit_code}: {item.error}"
        case e.SessionEnded():
            return f"ended {item.outcome or ''} with exit code {item.exit_code}: {item.reason}"
        case _:
            return source_event(item)


def _traffic(item: e.ImageBuilt | e.TrafficSeen | e.TrafficMoved | e.ForeignSeen) -> str:
    match item:
        case e.ImageBuilt():
            return f"{item.service} is built as {item.image}"
        case e.TrafficSeen():
            return f"{item.service} serves {item.revision or 'nothing'} so far"
        case e.TrafficMoved():
            why = "it is the best of this session" if item.why == "best" else item.why
            return f"{item.service} serves {item.revision or 'what is ready last'} from now on: {why}"
        case _:
            since = "results since the last look do not count"
            return f"{item.service} serves {item.found}, expected {item.expected}: {since}"


def _work(item: e.TestsSelected | e.LogsRead | e.GoalJudged) -> str:
    if isinstance(item, e.TestsSelected):
        out = f", {item.deselected} left out" if item.deselected else ""
        broken = f", {counted(len(item.collection_errors), 'collection error')}" if item.collection_errors else ""
        return (
            f"{counted(item.selected, 'test')} selected{out}{broken}{'' if item.full else ', not the full selection'}"
        )
    if isinstance(item, e.LogsRead):
        if not item.entries:  # the last word on the logs, after the pages
            return f"the logs are {'' if item.complete else 'not '}complete"
        return f"{counted(item.entries, 'log entry', 'log entries')} read{', complete' if item.complete else ''}"
    said = f": {'; '.join(item.reasons)}" if item.reasons else ""
    return f"judged {item.outcome or 'undecided'}{said}"


def regressions(view: SessionView) -> list[str]:
    """What passed before and fails now, a line for each test below its heading; nothing where there is none."""
    lines = [f"  {safe_line(test)}: {safe_line(stood)}" for test, stood in view.regressed.items()]
    return ["regressions:", *lines] if lines else []


def scores(told: Mapping[str, str]) -> list[str]:
    """`fix: 1 of 2 claims verified`, a line for each fixer."""
    return [safe_line(f"{name}: {score}") for name, score in told.items()]


def in_order(findings: Sequence[Finding]) -> list[Finding]:
    """Open findings first, of several iterations the newest, else as they were made: by their impact."""
    return sorted(findings, key=lambda item: (item.state not in OPEN_STATES, -item.last_iteration))
