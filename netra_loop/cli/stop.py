"""`netra-loop stop`: asks a running session, from any terminal, to pause."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from netra_loop.errors import EnvironmentFailed, UsageError

if TYPE_CHECKING:
    from netra_loop.clock import Clock
    from netra_loop.core.state import State
    from netra_loop.journal.base import Holder, Journal, SessionHead

_PATIENCE_S = 10.0  # a session that is asked has paused within 6 s
_LOST_S = 3.0  # an owner whose connection to a store's server was lost has it back by then
_PACE_S = 0.1
_RUNNING = "running"


def stop(
    context: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="An id, its unambiguous beginning, or latest.")],
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Ask, and do not wait until it has paused.")] = False,
) -> None:
    """Ask a running session to pause at the next safe point; prints the command that goes on with it.

    Exit codes: 0 it has paused; 2 it did not run; 3 its process was killed, or does not answer; where it ended by
    itself before it could pause, the session's own.
    """
    from netra_loop.cli.inspect import look
    from netra_loop.clock import SystemClock
    from netra_loop.core.resuming import first, resume_command
    from netra_loop.core.state import fold
    from netra_loop.settings import read

    command = read(context.obj).command()
    codes: list[int] = []

    async def work(store: Journal) -> None:
        head = await store.find(session)
        owner = await store.holder(head.id)
        if owner is None or not await store.ask_to_stop(head.id):
            raise _not_running(await store.find(head.id), command)
        sys.stderr.write(f"asked {owner} to pause {head.id}\n")
        if not no_wait:
            await _until_free(store, head.id, owner, SystemClock())
        state = fold(await store.events(head.id))
        if not no_wait:
            codes.append(_tell(head.id, state, owner, command))
        if not state.status.is_final:
            sys.stderr.write(f"{first(state.vars)}\n" if first(state.vars) else "")
            sys.stdout.write(f"{resume_command(command, head.id, state.vars)}\n")

    look(context, work)
    raise typer.Exit(codes[0] if codes else 0)


async def _until_free(store: Journal, session: str, owner: Holder, clock: Clock) -> None:
    """Returns once nobody has the session. Who takes it from `owner`, or after him, meanwhile is asked, too: a request
    is one owner's alone. Raises EnvironmentFailed where it is not let go of in time.
    """
    end = clock.monotonic() + _PATIENCE_S
    lost: float | None = None  # since when nobody has it, who has not said a word
    while True:
        holder, now = await store.holder(session), clock.monotonic()
        if holder is not None:
            lost = None
            if holder != owner and await store.ask_to_stop(session):
                owner = holder
                sys.stderr.write(f"{owner} took it meanwhile, and was asked, too\n")
        elif (await store.find(session)).state != _RUNNING:
            return
        elif lost is None:
            lost = now
        elif now - lost >= _LOST_S:
            return
        if now >= end:
            raise EnvironmentFailed(
                f"session {session!r} was asked to pause {_PATIENCE_S:g} s ago, but {owner} still holds it",
                hint=f"it may be suspended, or cut off from the store; look at it on {owner.host}: ps {owner.pid}",
            )
        await clock.sleep(_PACE_S)


def _tell(session: str, state: State, owner: Holder, command: str) -> int:
    """Says what has become of it, and answers with the exit code for that. EnvironmentFailed where its owner is gone
    without a word.
    """
    from netra_loop.core.events import ASKED
    from netra_loop.report.safe import safe_line

    reason = f": {safe_line(state.reason)}" if state.reason else ""
    if state.status == _RUNNING:
        raise EnvironmentFailed(
            f"session {session!r} did not pause: {owner} is gone without a word, killed or cut off from the store",
            hint=f"{command} resume {session}",
        )
    if state.status.is_final:
        verdict = "goal met" if state.exit_code == 0 else state.status.value
        sys.stderr.write(f"{session} ended by itself before it could pause: {verdict}{reason}\n")
    elif state.status == "failed":
        sys.stderr.write(f"{session} failed before it could pause{reason}\n")
    else:
        asked = state.reason == ASKED
        sys.stderr.write(f"paused: {session}{'' if asked else f', though not for being asked to{reason}'}\n")
        return 0
    return state.exit_code or 0


def _not_running(head: SessionHead, command: str) -> UsageError:
    from netra_loop.core.state import Status

    state = Status(head.state)
    if state.is_final:
        return UsageError(f"session {head.id!r} does not run: it has ended, {state.value}", hint=f"{command} list")
    how = "its process was killed" if state is Status.RUNNING else f"it is {state.value}"
    return UsageError(f"session {head.id!r} does not run: {how}", hint=f"{command} resume {head.id}")
