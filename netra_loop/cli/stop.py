"""`netra-loop stop`: asks a running session, from any terminal, to pause."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from netra_loop.errors import EnvironmentFailed, UsageError

if TYPE_CHECKING:
    from netra_loop.clock import Clock
    from netra_loop.journal.base import Holder, Journal, SessionHead

_PATIENCE_S = 10.0  # a session that is asked has paused within 6 s
_PACE_S = 0.1


def register(app: typer.Typer) -> None:
    """Adds this command to `app`."""
    app.command()(stop)


def stop(
    context: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="An id, its unambiguous beginning, or latest.")],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait until it has paused.")] = False,
) -> None:
    """Ask a running session to pause at the next safe point; prints the command that goes on with it."""
    from netra_loop.cli.inspect import look
    from netra_loop.clock import SystemClock
    from netra_loop.core.resuming import first, resume_command
    from netra_loop.core.state import fold
    from netra_loop.settings import read

    command = read(context.obj).command()

    async def work(store: Journal) -> None:
        head = await store.find(session)
        owner = await store.holder(head.id)
        if owner is None or not await store.ask_to_stop(head.id):
            raise _not_running(await store.find(head.id), command)
        sys.stderr.write(f"asked {owner} to pause {head.id}\n")
        if not no_wait:
            await _until_free(store, head.id, owner, SystemClock())
            _tell(await store.find(head.id))
        kept = fold(await store.events(head.id)).vars
        sys.stderr.write(f"{first(kept)}\n" if first(kept) else "")
        sys.stdout.write(f"{resume_command(command, head.id, kept)}\n")

    look(context, work)


async def _until_free(store: Journal, session: str, owner: Holder, clock: Clock) -> None:
    """Returns once nobody has the session. Who takes it from `owner`, or after him, meanwhile is asked, too: a request
    is one owner's alone. Raises EnvironmentFailed where it is not let go of in time.
    """
    end = clock.monotonic() + _PATIENCE_S
    while (holder := await store.holder(session)) is not None:
        if holder != owner and await store.ask_to_stop(session):
            owner = holder
            sys.stderr.write(f"{owner} took it meanwhile, and was asked, too\n")
        if clock.monotonic() >= end:
            raise EnvironmentFailed(
                f"session {session!r} was asked to pause {_PATIENCE_S:g} s ago, but {owner} still holds it",
                hint=f"it may be suspended, or cut off from the store; look at it on {owner.host}: ps {owner.pid}",
            )
        await clock.sleep(_PACE_S)


def _tell(head: SessionHead) -> None:
    """How it stands now; UsageError where there is nothing left that could be resumed: it ended first."""
    from netra_loop.core.state import Status

    if Status(head.state).is_final:
        raise UsageError(f"session {head.id!r} ended before it could pause: {head.state}", hint="netra-loop list")
    sys.stderr.write(f"{head.state}: {head.id}\n")


def _not_running(head: SessionHead, command: str) -> UsageError:
    from netra_loop.core.state import Status

    state = Status(head.state)
    if state.is_final:
        return UsageError(f"session {head.id!r} does not run: it has ended, {state.value}", hint=f"{command} list")
    how = "its process was killed" if state is Status.RUNNING else f"it is {state.value}"
    return UsageError(f"session {head.id!r} does not run: {how}", hint=f"{command} resume {head.id}")
