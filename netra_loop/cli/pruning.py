"""`list --prune`: sessions that are old or too many go, with their rows, lock files and folders."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING, Any

from netra_loop.errors import EnvironmentFailed, SessionHeld, UsageError
from netra_loop.values import dataclass

if TYPE_CHECKING:
    from pathlib import Path

    from netra_loop.clock import Clock
    from netra_loop.core.retention import Retention
    from netra_loop.journal.base import Journal, SessionHead
    from netra_loop.settings import Settings

_DEFAULT = "30d"


@dataclass(frozen=True)
class Removal:
    """What came of one session that was to go: who holds it, or why it is kept, or neither: it is gone. `folder_of` is
    the other store whose session of that name has its folder, which stays.
    """

    head: SessionHead
    held_by: str | None = None
    kept: str | None = None
    folder_of: str | None = None

    @property
    def is_gone(self) -> bool:
        """Whether it went."""
        return self.held_by is None and self.kept is None


def rule_of(older_than: str | None, keep: int | None) -> Retention:
    """What the command line asks for. UsageError where that is no duration."""
    from netra_loop.core import durations
    from netra_loop.core.retention import Retention

    if older_than is None and keep is None:
        older_than = _DEFAULT
    try:
        return Retention(None if older_than is None else durations.parse(older_than), keep)
    except ValueError as error:
        raise UsageError(f"--older-than: {error}", hint="for example: --older-than 30d") from error


async def prune(
    store: Journal, settings: Settings, rule: Retention, *, yes: bool, dry_run: bool, as_json: bool
) -> None:
    """Removes what `rule` does not keep, and says what; asks first, unless `yes`. A session that is held stays, and so
    does one that went on, or came to be kept, since that was decided.
    """
    from netra_loop.clock import SystemClock
    from netra_loop.core.retention import removable

    clock = SystemClock()
    heads = removable(await store.sessions(), rule, clock.now())
    if not heads:
        sys.stderr.write("nothing to remove\n")
        return
    if not dry_run and not yes:
        _ask(heads)
    sessions = settings.state_dir() / "sessions"
    removed = 0
    for head in heads:
        holder = await store.holder(head.id)
        done = Removal(head) if holder is None else Removal(head, held_by=str(holder))
        if holder is None and not dry_run:
            done = await _removed(store, head, sessions / head.id, rule, clock)
        removed += done.is_gone
        _tell(done, dry_run=dry_run, as_json=as_json)
    if dry_run:
        sys.stderr.write(f"{removed} would be removed; for good: {settings.command()} list --prune … --yes\n")
        return
    left = await store.reclaim()
    kept = f"; {left >> 20} MiB stay in the store for sessions to come" if left >= 1 << 20 else ""
    sys.stderr.write(f"{removed} removed{kept}\n")


def _ask(heads: list[SessionHead]) -> None:
    """UsageError unless a person at a terminal agrees."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"{len(heads)} sessions would be removed for good", hint="add --yes, or --dry-run to see which"
        )
    for head in heads:
        sys.stderr.write(f"{head.id}  {head.state}  {head.updated_at:%Y-%m-%d %H:%M} UTC\n")
    sys.stderr.write(f"remove these {len(heads)} sessions for good? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was removed")


async def _removed(store: Journal, head: SessionHead, folder: Path, rule: Retention, clock: Clock) -> Removal:
    """Removes it, unless somebody took it at this moment or it is not what was decided upon any more. Nobody can write
    to it meanwhile. The folder goes first: while the session is there, whatever a kill leaves is found again.
    """
    try:
        async with store.own(head.id):
            why = await _why_kept(store, head, rule, clock)
            if why is not None:
                return Removal(head, kept=why)
            other = await _remove_folder(store, folder)
            await store.forget(head.id)
    except SessionHeld as error:
        return Removal(head, held_by=error.holder)
    except OSError as error:
        raise EnvironmentFailed(
            f"folder {str(folder)!r} cannot be removed: {error.strerror or error}",
            hint=f"ls -la {shlex.quote(str(folder))}",
        ) from error
    return Removal(head, folder_of=other)


async def _why_kept(store: Journal, decided: SessionHead, rule: Retention, clock: Clock) -> str | None:
    """Why the session, which is ours now, is not to go after all; None where it is."""
    from netra_loop.core.retention import removable
    from netra_loop.core.state import Status

    now = await store.head(decided.id)
    if now is None:
        return "another process has removed it"
    if now != decided:
        return f"it went on meanwhile: {now.state}, {now.updated_at:%Y-%m-%d %H:%M:%S} UTC"
    # one that is unfinished may be the newest such by now, where a later one has ended meanwhile
    if not Status(now.state).is_final and now not in removable(await store.sessions(), rule, clock.now()):
        return "it is the newest unfinished one by now, which resume would take"
    return None


async def _remove_folder(store: Journal, folder: Path) -> str | None:
    """Removes the session's folder, unless it is that of another store's session of that name: then which store's."""
    from netra_loop.journal.folders import whose

    ours = await store.identity()
    other = whose(folder, ours)
    if other is None and _is_folder(folder):
        if (folder / "workspace").exists():
            from netra_loop.workspace.making import forget  # only where a session changed source

            await forget(folder, folder.name, os.environ)
        shutil.rmtree(folder)
    return other


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _tell(done: Removal, *, dry_run: bool, as_json: bool) -> None:
    from netra_loop.clock import rfc3339
    from netra_loop.core.writable import json_text

    head = done.head
    if as_json:
        said: dict[str, Any] = {"session": head.id, "state": head.state, "updated_at": rfc3339(head.updated_at)}
        said |= {"removed": done.is_gone and not dry_run, "held_by": done.held_by, "kept": done.kept}
        sys.stdout.write(json_text(said | {"folder_of": done.folder_of}) + "\n")
    elif not done.is_gone:
        sys.stdout.write(f"kept     {head.id}: {done.kept or f'held by {done.held_by}'}\n")
    else:
        verb = "would go" if dry_run else "removed "
        left = f"; its folder is left, it is that of {done.folder_of}" if done.folder_of is not None else ""
        sys.stdout.write(f"{verb} {head.id}  {head.state}  {head.updated_at:%Y-%m-%d %H:%M} UTC{left}\n")
