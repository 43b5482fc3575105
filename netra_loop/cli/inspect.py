"""Commands that only look: they change nothing, and work while a session runs."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence, Sized
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netra_loop.errors import UsageError

if TYPE_CHECKING:
    from netra_loop.core.records import LogEntry
    from netra_loop.journal.base import Journal, SessionHead

_Json = Annotated[
    bool,
    typer.Option("--json", help="Machine output: one JSON object a line, or one document for status."),
]
_SESSION_HELP = "An id, its unambiguous beginning, or latest."
_Session = Annotated[str, typer.Argument(metavar="SESSION", help=_SESSION_HELP)]
_MaybeSession = Annotated[str, typer.Argument(metavar="[SESSION]", help="An id, its beginning, or latest.")]
_Iteration = Annotated[str | None, typer.Option(metavar="N|all", help="Which iteration. Default: the newest.")]
_DIGITS = 9  # of an iteration's number, which a database keeps in 32 bits


def list_sessions(
    context: typer.Context,
    prune: Annotated[bool, typer.Option("--prune", help="Remove sessions that are old or too many, for good.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="30d", help="With --prune: those not changed for so long. The default: 30d.")
    ] = None,
    keep: Annotated[int | None, typer.Option(min=0, metavar="N", help="With --prune: keep the newest N.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --prune: only say what would go.")] = False,
    as_json: _Json = False,
) -> None:
    """List the sessions, the newest first; with --prune remove old ones."""
    from netra_loop.report import rows

    if prune:
        from netra_loop.cli import pruning
        from netra_loop.settings import read

        rule, settings = pruning.rule_of(older_than, keep), read(context.obj)
        look(context, lambda store: pruning.prune(store, settings, rule, yes=yes, dry_run=dry_run, as_json=as_json))
        return
    if older_than is not None or keep is not None or yes or dry_run:
        raise UsageError("--older-than, --keep, --yes and --dry-run go with --prune", hint="netra-loop list --prune")

    async def work(store: Journal | None) -> None:
        heads = await store.sessions() if store is not None else []
        if as_json:
            _lines(rows.session_row(head) for head in heads)
        else:
            from netra_loop.report import render  # and rich, start-up time that a listing for machines may do without

            render.show(render.sessions([rows.session_row(head) for head in heads]), sys.stdout)

    _open(context, work)


def status(context: typer.Context, session: _MaybeSession = "latest", as_json: _Json = False) -> None:
    """Show how a session stands now."""
    from netra_loop.cli.view import view_of
    from netra_loop.report import rows

    async def work(store: Journal) -> None:
        view = await view_of(store, await store.find(session))
        if as_json:
            _lines([rows.status_row(view)])
        else:
            from netra_loop.report import render  # as above

            render.show(render.status(view), sys.stdout)

    look(context, work)


def results(
    context: typer.Context,
    session: _Session,
    iteration: _Iteration = None,
    test: Annotated[
        str | None,
        typer.Option(metavar="ID", help="One test, by its id or a part that no other has: all it left behind."),
    ] = None,
    why: Annotated[bool, typer.Option("--why", help="Say why each test was selected, and where in the order.")] = False,
    as_json: _Json = False,
) -> None:
    """Show what each test did, every attempt included; with --test all that is known of one, on one axis of time."""
    from netra_loop.cli.one_test import read_one_test, whys
    from netra_loop.report import one_test, render, rows
    from netra_loop.report.safe import safe_line

    async def work(store: Journal) -> None:
        head = await store.find(session)
        number = _iteration(iteration, head)
        if test is not None:
            read = await read_one_test(store, head, test, number)
            if read.attempts[0].id != test:
                sys.stderr.write(f"--test {test!r} is {safe_line(read.attempts[0].id)}\n")
            if as_json:
                _lines(one_test.one_test_rows(read))
            else:
                render.show(one_test.one_test(read), sys.stdout)
            return
        shown = False
        for one in range(1, max(head.iteration, 1) + 1) if number is None else (number,):
            async for found in store.result_pages(head.id, one):
                reasons = await whys(store, head, found) if why else None
                if as_json:
                    _lines(rows.result_row(item, why=reasons) for item in found)
                else:
                    render.show(render.results(found, reasons, headed=not shown), sys.stdout)
                shown = True
                sys.stdout.flush()
                if getattr(sys.stdout, "broken", False):
                    return
        if not shown and not as_json:
            render.show(render.results(()), sys.stdout)

    look(context, work)


def findings(context: typer.Context, session: _Session, iteration: _Iteration = None, as_json: _Json = False) -> None:
    """Show the findings: what is wrong, since when, where, and which tests it explains."""
    from netra_loop.cli.scores import scores_of
    from netra_loop.core.state import fold
    from netra_loop.phases.memory import remembered
    from netra_loop.report import phrases, render, rows
    from netra_loop.report.explained import explained

    async def work(store: Journal) -> None:
        head = await store.find(session)
        wanted = _iteration(iteration, head)
        found = (
            [item for number in range(1, head.iteration + 1) for item in await store.findings(head.id, number)]
            if wanted is None
            else await store.findings(head.id, None if iteration is None else wanted)
        )
        if as_json:
            _lines(rows.finding_row(finding) for finding in found)
        else:
            render.show(render.findings(found), sys.stdout)
            past = await remembered(store, head.loop, head.id, found)
            render.show(explained(found, past, head.id), sys.stdout)
            told = await scores_of(store, head, fold(await store.events(head.id)))
            if told:
                sys.stdout.write("".join(["\nfixers:\n", *(f"  {said}\n" for said in phrases.scores(told))]))

    look(context, work)


def logs(
    context: typer.Context,
    session: _Session,
    iteration: _Iteration = None,
    groups: Annotated[
        bool, typer.Option("--groups", help="Show the errors in them, those alike together, and which are new.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on showing entries as they come, until the session is over.")
    ] = False,
    severity: Annotated[str | None, typer.Option(metavar="S", help="Only from this severity on.")] = None,
    service: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only of this service.")] = None,
    revision: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only of this revision.")] = None,
    as_json: _Json = False,
) -> None:
    """Show the log entries of the revisions under test; with --groups the errors among them."""
    from netra_loop.cli.following import Wanted, entries_as_they_come, line, severity_of
    from netra_loop.clock import SystemClock
    from netra_loop.report import error_groups, render, rows

    wanted = Wanted(severity_of(severity), tuple(service or ()), tuple(revision or ()))
    if groups and follow:
        raise UsageError("--groups and --follow do not go together: groups are made once the tests have ended")

    def said(entries: Sequence[LogEntry]) -> None:
        if as_json:
            _lines(map(rows.log_row, entries))
        else:
            sys.stdout.writelines(f"{line(entry)}\n" for entry in entries)
        sys.stdout.flush()

    async def work(store: Journal) -> None:
        head = await store.find(session)
        number = _iteration(iteration, head)
        if groups:
            events = await store.events(head.id)
            every = error_groups.group_rows(events, number)
            found = wanted.groups(every)
            if as_json:
                _lines(found)
            else:
                none = error_groups.why_none(events, number, len(every))
                render.show(error_groups.error_groups(found, none), sys.stdout)
        elif follow:
            await entries_as_they_come(store, head, number, wanted, said, SystemClock(), onwards=iteration is None)
        elif as_json:
            for one in range(1, head.iteration + 1) if number is None else (number,):
                async for page in store.entry_pages(head.id, one):
                    _lines(map(rows.log_row, wanted.of(page)))
        else:
            read = await store.entries(head.id, number)
            render.show(render.logs(wanted.of(read), len(read)), sys.stdout)

    look(context, work)


def journal(
    context: typer.Context,
    session: Annotated[str | None, typer.Argument(metavar="SESSION", help=_SESSION_HELP)] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the session, or without one every session, from end to end.")
    ] = False,
    restore: Annotated[
        Path | None,
        typer.Option(metavar="SNAPSHOT", help="Put a snapshot in the store's place, which is kept under another name."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Show every transition of a session, in order; or check that all of it is what was written."""
    from netra_loop.cli import integrity
    from netra_loop.core.redact import Redactor
    from netra_loop.report import render, rows
    from netra_loop.settings import read

    if restore is not None:
        if session is not None or verify or as_json:
            raise UsageError("--restore stands alone: it is about the whole store", hint="netra-loop journal --help")
        integrity.restore(read(context.obj), restore)
        return
    if session is None and not verify:
        raise UsageError("journal needs a SESSION, or --verify", hint="netra-loop journal latest")

    async def work(store: Journal) -> None:
        if verify:
            await integrity.verify(store, session, as_json=as_json)
            return
        assert session is not None
        recorded = await store.events((await store.find(session)).id)
        if as_json:
            # The loop file's text and the variables given are stored as they are, since a resume needs them.
            hide = Redactor().deep
            _lines(hide(rows.journal_row(item)) for item in recorded)
        else:
            render.show(render.journal(recorded), sys.stdout)

    look(context, work)


def validate(
    context: typer.Context,
    loop: Annotated[str, typer.Argument(metavar="LOOP", help="A path, or a name looked up as loops/NAME.yaml.")],
) -> None:
    """Say all that is wrong with a loop file, or may not be meant, with file:line:column; nothing is run."""
    from netra_loop.beginning import read_loop
    from netra_loop.core.loopfile import doubts
    from netra_loop.loops import find_loop
    from netra_loop.report.safe import safe_line
    from netra_loop.settings import read

    path = find_loop(read(context.obj), loop)
    spec, text = read_loop(path)
    for doubt in doubts(text, path):
        where = f"{doubt.file}:{doubt.line}:{doubt.column}"
        sys.stderr.write(f"{safe_line(where)}: warning: {safe_line(doubt.message)}\n")
    parts: dict[str, Sized] = {
        "phase": spec.phases,
        "service": spec.services,
        "tier": spec.tiers,
        "journey": spec.journeys,
    }
    held = ", ".join(f"{len(part)} {name}{'' if len(part) == 1 else 's'}" for name, part in parts.items())
    sys.stderr.write(f"{safe_line(str(path))}: fine: {held}\n")


def schema() -> None:
    """Print the loop file's JSON Schema, for editors."""
    from netra_loop.core.loopschema import schema as make
    from netra_loop.core.writable import json_text

    sys.stdout.write(json_text(make(), indent=2) + "\n")


def look(context: typer.Context, work: Callable[[Journal], Awaitable[None]]) -> None:
    """Runs `work` with the store; UsageError where none was ever made."""

    async def with_store(store: Journal | None) -> None:
        if store is None:
            raise UsageError("there is no session: none was ever started here", hint="netra-loop run LOOP")
        await work(store)

    _open(context, with_store)


def _open(context: typer.Context, work: Callable[[Journal | None], Awaitable[None]]) -> None:
    """Runs `work` with the store; None where none was ever made. Looking makes nothing."""
    import asyncio

    from netra_loop.settings import read

    async def main() -> None:
        from netra_loop.journal.leftovers import never_made
        from netra_loop.journal.sqlite import path_of
        from netra_loop.journal.store import open_store
        from netra_loop.settings import STORE_FILE

        gc.freeze()  # what was imported without the collector stays: see `words.LOOKING`
        gc.enable()

        settings = read(context.obj)
        url = settings.store or f"sqlite:///{settings.state_dir() / STORE_FILE}"
        if settings.store is None and never_made(path_of(url)):
            await work(None)
            return
        store = open_store(url, make=False)
        try:
            await work(store)
        finally:
            await store.close()

    try:
        asyncio.run(main())
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`| head`) with what it wanted; Typer would call that a failure.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None


def _iteration(asked: str | None, head: SessionHead) -> int | None:
    """The iteration to show; None: all of them."""
    if asked is None:
        return max(head.iteration, 1)
    if asked == "all":
        return None
    if not asked.isdecimal() or not asked.strip("0"):
        raise UsageError(f"--iteration {asked!r} is neither a number from 1 nor 'all'", hint="--iteration all")
    last = max(head.iteration, 1)
    if len(asked) > _DIGITS or int(asked) > last:
        raise UsageError(
            f"session {head.id!r} has no iteration {asked[:30]}, its last is {last}", hint="--iteration all"
        )
    return int(asked)


def _lines(items: Iterable[Mapping[str, Any]]) -> None:
    from netra_loop.core.writable import json_text

    for item in items:
        sys.stdout.write(json_text(item) + "\n")
