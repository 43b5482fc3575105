"""Commands that change the world: `run` and `resume`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from netra_loop.cli.hints import hints_to_type
from netra_loop.cli.words import OPENING
from netra_loop.errors import StoreAway, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from netra_loop.app import Session
    from netra_loop.beginning import Options
    from netra_loop.core.state import State
    from netra_loop.journal.base import Journal, SessionHead
    from netra_loop.report.observer import Observer
    from netra_loop.settings import Settings

_LATER_S = 2.0

_Env = Annotated[str | None, typer.Option("--env", metavar="NAME", help="The loop file's environment to run in.")]
_Var = Annotated[list[str] | None, typer.Option("--var", metavar="K=V", help="Set a variable of the loop file.")]
_Only = Annotated[str | None, typer.Option(metavar="TIER", help="Run this tier alone; the goal cannot be met by it.")]
_Iterations = Annotated[int | None, typer.Option(min=1, metavar="N", help="Stop after this many iterations.")]
_Budget = Annotated[str | None, typer.Option(metavar="5h30m", help="Pause when this much time is used up.")]
_Plain = Annotated[bool, typer.Option("--plain", help="No live screen. The default in CI and without a terminal.")]
_Takeover = Annotated[
    bool, typer.Option("--takeover", help="Take the session from the process that holds it, which then stops.")
]
_Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more: every test as it ends.")]


def run(
    context: typer.Context,
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="A path, or a name looked up as loops/NAME.yaml.")],
    env: _Env = None,
    var: _Var = None,
    only: _Only = None,
    max_iterations: _Iterations = None,
    budget: _Budget = None,
    session_name: Annotated[str | None, typer.Option(metavar="NAME", help="The new session's id.")] = None,
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="Resume the loop's newest unfinished session; start one only if none."),
    ] = False,
    takeover: _Takeover = False,
    plain: _Plain = False,
    verbose: _Verbose = False,
) -> None:
    """Start a session of a loop: deploy, test, judge, and go round until its goal is met."""
    from netra_loop.cli.opening import Opening
    from netra_loop.loops import find_loop
    from netra_loop.settings import read

    settings = read(context.obj)
    path = find_loop(settings, loop)
    if takeover and not go_on:
        raise UsageError(
            "--takeover means nothing to a new session", hint=f"netra-loop run {loop} --continue --takeover"
        )

    opening = context.meta.get(OPENING) or Opening()

    async def main() -> State:
        from netra_loop.engine.signals import unless_begun

        with unless_begun():
            return await begun()

    async def begun() -> State:
        # whatever is wrong with the file or with what was asked for is said before a store is made
        options = _options(env, var, only, max_iterations, budget, session_name, takeover=takeover)
        beginning = await opening.prepare(path, settings, options, ahead=not go_on)

        async def work(journal: Journal, session: Session) -> State:
            for head in await journal.sessions() if go_on else ():
                if await _is_unfinished(journal, head, path, env):
                    return await session.take_up(head, options)
            return await session.start(beginning, opening.ahead)

        return await _driven(settings, path.parent, work, plain=plain, verbose=verbose)

    try:
        state = opening.run(main())
    finally:
        opening.close()
    raise typer.Exit(state.exit_code or 0)


def resume(
    context: typer.Context,
    session: Annotated[
        str | None,
        typer.Argument(metavar="[SESSION]", help="Default: the newest unfinished session."),
    ] = None,
    env: _Env = None,
    var: _Var = None,
    only: _Only = None,
    max_iterations: _Iterations = None,
    budget: _Budget = None,
    takeover: _Takeover = False,
    plain: _Plain = False,
    verbose: _Verbose = False,
) -> None:
    """Go on with a session where it stood."""
    from netra_loop.journal.glance import check_free
    from netra_loop.settings import STORE_FILE, read

    settings = read(context.obj)
    if not takeover:  # before anything heavy is imported: whoever comes second hears of it soon
        with hints_to_type(settings.command):
            check_free(settings.store or str(settings.state_dir() / STORE_FILE), session)

    import asyncio

    from netra_loop.core.state import Status
    from netra_loop.journal.leftovers import never_made

    options = _options(env, var, only, max_iterations, budget, None, takeover=takeover)
    if settings.store is None and never_made(settings.state_dir() / STORE_FILE):
        raise UsageError("there is no session to resume: none was ever started here", hint="netra-loop run LOOP")

    async def work(journal: Journal, running: Session) -> State:
        if session is not None:
            return await running.take_up(await journal.find(session), options)
        for head in await journal.sessions():
            if not Status(head.state).is_final:
                return await running.take_up(head, options)
        raise UsageError("there is no unfinished session to resume", hint="netra-loop run LOOP")

    async def main() -> State:
        from netra_loop.engine.signals import unless_begun

        with unless_begun():
            return await _driven(settings, None, work, plain=plain, verbose=verbose)

    raise typer.Exit(asyncio.run(main()).exit_code or 0)


def _options(
    env: str | None,
    var: list[str] | None,
    only: str | None,
    max_iterations: int | None,
    budget: str | None,
    session_name: str | None,
    *,
    takeover: bool,
) -> Options:
    from netra_loop.beginning import Options
    from netra_loop.core import durations

    given = {}
    for pair in var or []:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise UsageError(f"--var {pair!r} names no value, expected K=V", hint="for example: --var user=me")
        given[name] = value
    try:
        budget_s = durations.parse(budget) if budget is not None else None
    except ValueError as error:
        raise UsageError(f"--budget: {error}", hint="for example: --budget 5h30m") from error
    if budget_s is not None and budget_s <= 0:
        raise UsageError(f"--budget {budget!r} leaves no time at all", hint="for example: --budget 5h30m")
    return Options(env, given, only, max_iterations, budget_s, session_name, takeover)


async def _driven(
    settings: Settings,
    near: Path | None,
    work: Callable[[Journal, Session], Awaitable[State]],
    *,
    plain: bool,
    verbose: bool,
) -> State:
    """Runs `work` with a journal and a session, shown on a screen."""
    command = settings.command(near)
    with hints_to_type(lambda: command):
        return await _shown(settings, near, command, work, plain=plain, verbose=verbose)


async def _shown(
    settings: Settings,
    near: Path | None,
    command: str,
    work: Callable[[Journal, Session], Awaitable[State]],
    *,
    plain: bool,
    verbose: bool,
) -> State:
    import asyncio

    from netra_loop.app import Session, open_journal

    journal = open_journal(settings, near, make=near is not None)  # what is resumed is there
    plain = plain or settings.ci or settings.on_github or not sys.stdout.isatty()
    observer = _observer(plain=plain, verbose=verbose, grouped=settings.on_github)
    session = Session(settings, journal, observer, command=command)
    last_word = asyncio.create_task(_ready())
    try:
        return await work(journal, session)
    except StoreAway:  # it was waited for; what is still to be said and closed shall not wait as long once more
        journal.hurry(0.0)
        raise
    finally:
        last_word.cancel()
        if session.id is not None:
            failing = sys.exc_info()[1] is not None
            await _sum_up(journal, session, observer, command, settings, failing=failing)
        observer.close()
        await journal.close()


async def _ready() -> None:
    """Imports what the last word needs, while tests run."""
    import asyncio
    from importlib import import_module

    await asyncio.sleep(_LATER_S)
    await asyncio.to_thread(import_module, "netra_loop.cli.view")


async def _is_unfinished(journal: Journal, head: SessionHead, path: Path, env: str | None) -> bool:
    """Whether `head` is a session of the loop file at `path`, in that environment, that can go on."""
    from pathlib import Path

    from netra_loop.core.events import SessionStarted
    from netra_loop.core.state import Status
    from netra_loop.loops import same_loop

    if Status(head.state).is_final or env not in {None, head.environment}:
        return False
    first = (await journal.events(head.id))[0].event
    return isinstance(first, SessionStarted) and same_loop(Path(first.loop_file), path)


async def _sum_up(
    journal: Journal, session: Session, observer: Observer, command: str, settings: Settings, *, failing: bool
) -> None:
    """The last word on the session, also where an error ends it. It changes nothing, whatever becomes of it. With
    `failing` there is an error on its way to the user already, and the store's own is not told twice.
    """
    from dataclasses import replace

    from netra_loop.cli.defects import nothing_but_told
    from netra_loop.cli.view import told_of
    from netra_loop.errors import StoreError

    with nothing_but_told("how the session stands"):
        try:
            view, findings = await told_of(journal, await journal.find(session.id or ""))
        except StoreError:
            if failing:
                return
            raise
        view = replace(view, command=command)
        with nothing_but_told("how the session stands"):
            observer.summary(view, findings)
        if settings.on_github and session.spec is not None:
            from netra_loop.cli import github  # of use to its runners alone

            with nothing_but_told("GitHub's runner"):
                await github.tell(journal, settings, view, findings, session.spec)


def _observer(*, plain: bool, verbose: bool, grouped: bool) -> Observer:
    from netra_loop.clock import SystemClock

    if plain:
        from netra_loop.report.plain import PlainConsole

        console = PlainConsole(sys.stderr, SystemClock(), verbose=verbose)
        if not grouped:
            return console
        from netra_loop.cli.github import say
        from netra_loop.report.github import Grouped

        return Grouped(console, say)
    from rich.console import Console  # of use on a screen alone

    from netra_loop.report.live import LiveConsole

    return LiveConsole(Console(stderr=True), SystemClock())
