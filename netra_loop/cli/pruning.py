"""`list --prune`: sessions that are old or too many go, with their rows, lock files and folders."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Any

from netra_loop.errors import EnvironmentFailed, SessionHeld, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from netra_loop.core.retention import Retention
    from netra_loop.journal.base import Journal, SessionHead
    from netra_loop.settings import Settings

_DEFAULT = "30d"


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
    """Removes what `rule` does not keep, and says what; asks first, unless `yes`. A session that is held stays."""
    from netra_loop.clock import SystemClock
    from netra_loop.core.retention import removable

    heads = removable(await store.sessions(), rule, SystemClock().now())
    if not heads:
        sys.stderr.write("nothing to remove\n")
        return
    if not dry_run and not yes:
        _ask(heads)
    removed = 0
    for head in heads:
        holder = await store.holder(head.id)
        held = None if holder is None else str(holder)
        if held is None and not dry_run:
            held = await _removed(store, head, settings.state_dir() / "sessions" / head.id)
        removed += held is None
        _tell(head, held, dry_run=dry_run, as_json=as_json)
    if dry_run:
        sys.stderr.write(f"{removed} would be removed; for good: netra-loop list --prune … --yes\n")
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


async def _removed(store: Journal, head: SessionHead, folder: Path) -> str | None:
    """Removes it; who holds it, where somebody took it at this moment. The folder goes first: while the session is
    there, whatever a kill leaves is found again.
    """
    try:
        async with store.own(head.id):
            _remove(folder)
            await store.forget(head.id)
    except SessionHeld as error:
        return error.holder
    except OSError as error:
        raise EnvironmentFailed(
            f"folder {str(folder)!r} cannot be removed: {error.strerror or error}", hint=f"ls -la {folder}"
        ) from error
    return None


def _remove(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)


def _tell(head: SessionHead, held: str | None, *, dry_run: bool, as_json: bool) -> None:
    from netra_loop.clock import rfc3339
    from netra_loop.core.writable import json_text

    if as_json:
        said: dict[str, Any] = {"session": head.id, "state": head.state, "updated_at": rfc3339(head.updated_at)}
        said |= {"removed": held is None and not dry_run, "held_by": held}
        sys.stdout.write(json_text(said) + "\n")
    elif held is not None:
        sys.stdout.write(f"kept     {head.id}: held by {held}\n")
    else:
        verb = "would go" if dry_run else "removed "
        sys.stdout.write(f"{verb} {head.id}  {head.state}  {head.updated_at:%Y-%m-%d %H:%M} UTC\n")
