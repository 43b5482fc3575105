"""The composition root: settings and a loop file become a journal, a cloud, runners, phases and a driver.

The table of phases is below, in one place; nothing registers itself. Heavy rooms (the store, the cloud clients) are
imported inside the functions that need them, so that commands which only look stay quick.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from netra_loop.beginning import Beginning, Options, check_tier, prepare, text_of
from netra_loop.clock import Clock, SystemClock
from netra_loop.core import durations, loopfile
from netra_loop.core import events as ev
from netra_loop.core.records import Batch, Selected
from netra_loop.core.redact import MARK, Redactor
from netra_loop.core.resuming import first, resume_command
from netra_loop.core.spec import LoopSpec, PhaseSpec
from netra_loop.core.state import State, Status, fold
from netra_loop.engine.driver import Driver, MakeContext
from netra_loop.engine.signals import Stop, heeding, installed
from netra_loop.errors import DiskFull, NetraLoopError, Paused, UsageError
from netra_loop.execution import pool_folder
from netra_loop.going_on import check_resumable, check_set
from netra_loop.journal.base import Journal, SessionHead
from netra_loop.journal.folders import claim, own_folder
from netra_loop.loops import find_again
from netra_loop.phases.base import PhaseContext
from netra_loop.phases.closing import close_session
from netra_loop.phases.given import SESSION_VARIABLE
from netra_loop.phases.kept import (
    agree,
    check_given,
    check_whole,
    hiding,
    kept_again,
    kept_text,
    kept_vars,
    stood_hidden,
)
from netra_loop.phases.known_secrets import in_their_place_only, known_secrets
from netra_loop.phases.scope import Scope
from netra_loop.phases.table import Table
from netra_loop.processes import end_carriers, set_subreaper
from netra_loop.report.observer import Observer
from netra_loop.settings import STORE_FILE, Settings
from netra_loop.toolbox import SessionTools, git_facts
from netra_loop.values import complete_those_of

if TYPE_CHECKING:
    from netra_loop.execution.pool_ahead import Ahead

PHASES = Table(
    {
        "deploy": ("deploy", "Deploy"),
        "attach": ("attach", "Attach"),
        "select": ("select", "Select"),
        "execute": ("execute", "Execute"),
        "collect-logs": ("collect_logs", "CollectLogs"),
        "record": ("record", "Record"),
        "run": ("run", "Run"),
        "commit": ("commit", "Commit"),
        "compare": ("compare", "Compare"),
        "wait": ("wait", "Wait"),
    }
)
_SOON_S = 0.05  # the first phase waits for its tests to be collected
_AT_FIRST = 2  # phases
_LATER_S = 1.5  # the first tests are under way; before that, others need the processor more
_OF_FIRST_PHASES = (
    "netra_loop.execution",
    "netra_loop.phases",
    *(f"netra_loop.core.events.{name}" for name in ("Noted", "PhaseFinished", "SourcesSeen", "TestsSelected")),
)
_OF_LATER_ONES = (
    "netra_loop.phases",
    "netra_loop.report",
    "netra_loop.journal.snapshots",
    *(f"netra_loop.core.events.{name}" for name in ("GoalJudged", "LogsRead", "SessionEnded")),
    *(
        f"netra_loop.core.{name}"
        for name in ("causes", "facts", "findings", "goal", "joining", "log_review", "machine")
    ),
    *(f"netra_loop.core.{name}" for name in ("seal", "stability", "state", "verdicts")),
)


def open_journal(settings: Settings, near: Path | None = None, *, make: bool = True) -> Journal:
    """The store of these settings; `near` is where to look for the folder `loops/` from. Unless `make`, it is there."""
    from netra_loop.journal.store import open_store  # asyncio and SQLite: not for `--help`

    return open_store(settings.store or f"sqlite:///{settings.state_dir(near) / STORE_FILE}", make=make)


def _text_if_there(path: Path) -> str | None:
    """A loop file's text; None where it is gone."""
    return text_of(path) if path.exists() else None


@dataclass(frozen=True)
class Revisited:
    """A session that is looked back at. `spec` lies where its workspace is."""

    head: SessionHead
    spec: LoopSpec
    state: State
    tools: SessionTools
    journal: Journal
    clock: Clock

    def context(
        self, phase: PhaseSpec, iteration: int, record: Callable[[Batch], Awaitable[None]], observer: Observer
    ) -> PhaseContext:
        """What a phase would be given in `iteration`; what it records goes to `record` alone."""
        ended = self.state.status.is_final
        state = replace(self.state, iteration=iteration, tags=frozenset() if ended else self.state.tags)
        git = _git(state, self.tools.git)
        name = self.head.environment

        def scope() -> Scope:
            return Scope(self.spec, name, self.head.id, iteration, self.tools.environ, state.revisions, None, git)

        return PhaseContext(
            session=self.head.id,
            spec=self.spec,
            environment=self.spec.environments[name],
            phase=phase,
            iteration=iteration,
            attempt=1,
            only=None,
            state=lambda: state,
            journal=self.journal,
            record=record,
            clock=self.clock,
            observer=observer,
            tools=self.tools,
            scope=scope,
        )


class Session:
    """One session in one process: made by `begin` or `take_up`, driven to its end, pause or failure by `drive`."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        observer: Observer,
        clock: Clock | None = None,
        *,
        command: str = "netra-loop",
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._observer = observer
        self._clock = clock or SystemClock()
        self._command = command
        self.id: str | None = None  # known, and in the store, once a session was begun or taken up
        self.spec: LoopSpec | None = None  # likewise

    async def begin(self, path: Path, options: Options) -> State:
        """Starts a session of the loop at `path` and drives it. Raises UsageError before anything is touched."""
        return await self.start(prepare(path, options, self._clock.now()))

    async def start(self, beginning: Beginning, ahead: Ahead | None = None) -> State:
        """The same for one that was prepared. `ahead` is a tests' interpreter that may have begun; it is ended by the
        end of this, used or not.
        """
        new, session, stop = beginning.started, beginning.id, Stop(self._observer.progress, self._journal.hurry)
        with installed(stop):  # until all that was started has been ended, and the session let go of
            async with self._pausing(session), self._journal.own(session):
                return await self._drive(
                    session, beginning.spec, new.environment, beginning.options, stop, new=new, ahead=ahead
                )

    async def take_up(self, head: SessionHead, options: Options) -> State:
        """Goes on with a session where it stood, with its loop file as it is now: mending it and resuming is how a
        session gets past a mistake in it. Raises UsageError where what changed cannot hold for what was already done.
        """
        if options.environment not in {None, head.environment}:
            raise UsageError(
                f"session {head.id!r} runs in environment {head.environment!r}, not {options.environment!r}",
                hint=f"netra-loop resume {head.id}",
            )
        stop = Stop(self._observer.progress, self._journal.hurry)
        with installed(stop):
            async with self._pausing(head.id), self._journal.own(head.id, takeover=options.takeover):
                return await self._go_on(head, options, stop)

    @asynccontextmanager
    async def revisit(self, head: SessionHead, given: Mapping[str, str]) -> AsyncIterator[Revisited]:
        """The session as it stands, ended or not, with its tools: held while the block runs, which adds nothing to its
        journal. Its loop is as it was when the session last worked; `given` are variables that were not stored.
        """
        async with self._journal.own(head.id), AsyncExitStack() as stack:
            recorded = await self._journal.events(head.id)
            state, started = fold(recorded), recorded[0].event
            assert isinstance(started, ev.SessionStarted)
            path = find_again(self._settings, Path(started.loop_file))
            text = state.loop_text if MARK not in state.loop_text else _text_if_there(path) or state.loop_text
            check_whole(text, path, head.id, self._command)
            missing = [name for name, value in state.vars.items() if value == MARK and not given.get(name)]
            if missing:
                raise UsageError(
                    f"session {head.id!r} was given values of {', '.join(missing)} that are secrets and not stored",
                    hint="give them again: " + " ".join(f"--var {name}=…" for name in missing),
                )
            spec = loopfile.apply_vars(loopfile.load(text, path), {**state.vars, **given})
            check_set(Scope(spec, head.environment, head.id, 0, self._settings.environ), state)
            set_subreaper()
            folder = await self._session_dir(head.id, spec)
            tools = SessionTools(head.id, spec, head.environment, self._settings, folder, self._clock)
            stack.push_async_callback(tools.close)
            await _end_what_is_left(tools.folder, head.id, taken=False)
            tools.git = await git_facts(spec.root_dir)
            await tools.settle(state.workspace, state.head)
            if tools.workspace is not None:
                spec = spec.placed_at(tools.workspace.place(spec.base_dir))
            yield Revisited(head, spec, state, tools, self._journal, self._clock)

    async def _go_on(self, head: SessionHead, options: Options, stop: Stop) -> State:
        recorded = await self._journal.events(head.id)
        state = fold(recorded)
        if state.status.is_final:
            raise UsageError(f"session {head.id!r} has ended: {state.status.value}", hint=f"netra-loop run {head.loop}")
        started = recorded[0].event
        assert isinstance(started, ev.SessionStarted)
        path = find_again(self._settings, Path(started.loop_file))
        text = _text_if_there(path)
        if text is None:
            text = state.loop_text
            check_whole(text, path, head.id, self._command)
        check_given(head.id, state.vars, options.vars, self._command)
        spec = loopfile.apply_vars(loopfile.load(text, path), {**state.vars, **options.vars})
        check_tier(spec, options.only)
        learnt = [value for name, value in options.vars.items() if state.vars.get(name) == MARK]
        then = loopfile.load(state.loop_text, path)
        learnt += stood_hidden(then.model_dump(), loopfile.load(text, path).model_dump())
        redactor = self._redactor(head, spec, learnt)
        kept, stored = kept_text(text, path, redactor), kept_text(state.loop_text, path, redactor)
        before = loopfile.apply_vars(loopfile.load(stored, path), kept_vars(state.vars, redactor))
        given = kept_again(state.vars, {**state.vars, **options.vars}, redactor)
        now = loopfile.apply_vars(loopfile.load(kept, path), given)
        check_resumable(head, state, before, now, options)
        check_set(Scope(spec, head.environment, head.id, 0, self._settings.environ), state)
        same = kept == stored or (MARK in stored and agree(before.model_dump(), now.model_dump()))
        changed = None if same else kept
        if changed is not None:
            self._observer.progress(f"{path} has changed since: going on with it as it is now")
        return await self._drive(
            head.id, spec, head.environment, options, stop, new=None, changed=changed, learnt=learnt
        )

    @asynccontextmanager
    async def _pausing(self, session: str) -> AsyncIterator[None]:
        """A disk without room for as much as the session's pause is a pause all the same."""
        try:
            yield
        except DiskFull as error:
            why = f"{error}; not even that could be stored"
            raise Paused(session, why, command=self._command) from error

    async def _drive(
        self,
        session: str,
        spec: LoopSpec,
        environment: str,
        options: Options,
        stop: Stop,
        new: ev.SessionStarted | None,
        changed: str | None = None,
        ahead: Ahead | None = None,
        learnt: Sequence[str] = (),
    ) -> State:
        set_subreaper()
        async with AsyncExitStack() as stack:
            tools = SessionTools(
                session,
                spec,
                environment,
                self._settings,
                await self._session_dir(session, spec),
                self._clock,
                ahead,
            )
            stack.push_async_callback(tools.close)
            tools.learn(*learnt)
            await _end_what_is_left(tools.folder, None if new is not None else session, taken=options.takeover)
            tools.git = await git_facts(spec.root_dir)
            driver = Driver(
                session, spec, self._journal, PHASES, _contexts(spec, environment, self._journal, tools),
                self._clock, self._observer, stop, close_session, hiding(lambda: tools.redactor),
            )  # fmt: skip
            tools.on_wait = driver.waited
            await stack.enter_async_context(heeding(stop, self._journal, session))
            if options.budget_s is not None:
                stack.callback(_budget(stop, options.budget_s).cancel)
            self.spec = spec
            if new is not None:
                text = kept_text(new.loop_text, spec.path, tools.redactor)
                given = kept_vars(options.vars, tools.redactor)
                await driver.start(replace(new, loop_text=text, vars=given), self._clock.now())
                self.id = session
                if ahead is not None:
                    ahead.go()
            else:
                self.id = session
                await self._resume(driver, tools, options, changed)
            await self._settle(driver, tools)
            stack.callback(asyncio.create_task(self._ready(spec)).cancel)
            for label in in_their_place_only(tools.known):
                await driver.note(f"the value of {label} is too plain to be hidden wherever it appears")
            try:
                state = await driver.drive()
            except NetraLoopError as error:
                error.hide(tools.redactor.text)
                raise
        if state.status is Status.PAUSED:
            again = resume_command(self._command, session, state.vars)
            raise Paused(session, state.reason or "asked to", first=first(state.vars), resume=again)
        return state

    async def _ready(self, spec: LoopSpec) -> None:
        """Makes ready what later phases and the last word need, while the first ones wait for something."""
        await asyncio.sleep(_SOON_S)
        await asyncio.to_thread(_made_ready, spec.phases[:_AT_FIRST], _OF_FIRST_PHASES)
        await asyncio.sleep(_LATER_S)
        await asyncio.to_thread(import_module, "netra_loop.report.render")
        await asyncio.to_thread(_made_ready, spec.phases, _OF_LATER_ONES)

    async def _settle(self, driver: Driver, tools: SessionTools) -> None:
        """The session's workspace is there before its first phase is."""
        known = driver.state.workspace
        made = await tools.settle(known, driver.state.head)
        if made is None or (known is not None and made.root == known.root):
            return
        await driver.append(Batch(events=(replace(made, iteration=driver.state.iteration),)))
        if known is not None:
            await driver.note(
                f"the workspace {known.root} is not here: it was built again at {made.root} from the session's newest "
                "commit; what was changed there and not committed is not in it"
            )
        elif made.left_out:
            files = "1 changed file" if made.left_out == 1 else f"{made.left_out} changed files"
            self._observer.progress(f"the workspace holds what is committed: {files} of the checkout not in it")

    async def _resume(self, driver: Driver, tools: SessionTools, options: Options, changed: str | None) -> None:
        """Says that this process goes on with the session; `changed` is its loop's text where that is another now."""
        await driver.load()
        given = kept_again(driver.state.vars, options.vars, tools.redactor)
        tools.remember([one.id for one in await self._chosen_last(driver.session, driver.state)])
        await driver.resume(max_iterations=options.max_iterations, given=given, only=options.only, loop_text=changed)

    async def _chosen_last(self, session: str, state: State) -> list[Selected]:
        """The session's newest selection."""
        now = await self._journal.selection(session, state.iteration)
        return now or await self._journal.selection(session, state.iteration - 1)

    def _redactor(self, head: SessionHead, spec: LoopSpec, learnt: Sequence[str]) -> Redactor:
        """What hides the secrets that are known of the session before anything of it runs."""
        scope = Scope(spec, head.environment, head.id, 0, self._settings.environ)
        return known_secrets(spec, scope, [self._command], self._settings.store).redactor(*learnt)

    async def _session_dir(self, session: str, spec: LoopSpec) -> Path:
        state = self._settings.state_dir(spec.base_dir)
        folder = state / "sessions" / session
        for place in (state, folder.parent, folder):
            own_folder(place)
        claim(folder, await self._journal.identity())
        return folder


async def _end_what_is_left(folder: Path, session: str | None, *, taken: bool) -> None:
    """Ends what a killed process left of its tests, or whoever the session was taken from, before anything runs;
    `session` is None for one that is new.
    """
    await pool_folder.clear(folder, taken=taken)
    if session is not None:
        await end_carriers(SESSION_VARIABLE, session)
    if taken:
        from netra_loop.cloud.embedded.launch import end_taken  # with Google's packages

        await end_taken(folder / "cloud")


def _made_ready(phases: Sequence[PhaseSpec], classes: Sequence[str]) -> None:
    PHASES.ready([phase.uses for phase in phases])
    complete_those_of(*classes)


def _budget(stop: Stop, seconds: float) -> asyncio.TimerHandle:
    """Asks to stop once this process has used up its time; the session can be resumed by another."""
    why = f"the budget of {durations.show(seconds)} is used up"
    return asyncio.get_running_loop().call_later(seconds, stop.request, why)


def _git(state: State, checkout: Mapping[str, str]) -> Mapping[str, str]:
    """What `${git.…}` stands for: the checkout, or the commit that the session's workspace stands on."""
    if state.workspace is None or state.head is None:
        return checkout
    return {"sha": state.head, "short_sha": state.head[:7], "branch": state.workspace.branch}


def _contexts(
    spec: LoopSpec,
    environment: str,
    journal: Journal,
    tools: SessionTools,
) -> MakeContext:
    def make(driver: Driver, phase: PhaseSpec, iteration: int, attempt: int) -> PhaseContext:
        workspace = tools.workspace
        placed = spec if workspace is None else spec.placed_at(workspace.place(spec.base_dir))

        def scope() -> Scope:
            state = driver.state
            git = _git(state, tools.git)
            return Scope(placed, environment, driver.session, iteration, tools.environ, state.revisions, None, git)

        return PhaseContext(
            session=driver.session,
            spec=placed,
            environment=spec.environments[environment],
            phase=phase,
            iteration=iteration,
            attempt=attempt,
            only=driver.state.only,
            state=lambda: driver.state,
            journal=journal,
            record=driver.append,
            clock=driver.clock,
            observer=driver.observer,
            tools=tools,
            scope=scope,
        )

    return make
