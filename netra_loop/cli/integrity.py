"""`journal --verify` and `journal --restore`: whether a store is whole, and what to do where it is not."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netra_loop.errors import StoreError, UsageError

_TELL_S = 5.0

if TYPE_CHECKING:
    from netra_loop.journal.base import Journal
    from netra_loop.settings import Settings


async def verify(store: Journal, session: str | None, *, as_json: bool) -> None:
    """Reads a session (None: every one, and the store's own form) from end to end and says so; raises the first error,
    once all were read.
    """
    from netra_loop.core.writable import json_text

    heads = await store.sessions() if session is None else [await store.find(session)]
    errors = []
    if session is None:
        try:
            await store.verify_form()
        except StoreError as error:
            errors.append(error)
    for number, head in enumerate(heads, 1):
        said: dict[str, Any] = {"session": head.id, "whole": True, "events": None, "rows": None, "head": None}
        try:
            found = await store.verify_all(head.id, _Progress(f"{head.id} ({number} of {len(heads)})"))
        except StoreError as error:
            errors.append(error)
            said |= {"whole": False, "error": str(error)}
            line = f"{head.id}: {error}"
        else:
            said |= {"events": found.events, "rows": found.rows, "head": found.head, "error": None}
            line = f"{head.id}: {found.events} events, chain whole, head {found.head}; {found.rows} rows beside it read"
        sys.stdout.write((json_text(said) if as_json else line) + "\n")
        sys.stdout.flush()
    if errors:
        raise errors[0]


class _Progress:
    """Says how far it is, from time to time, on stderr."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next_at = time.monotonic() + _TELL_S

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next_at:
            self._next_at = time.monotonic() + _TELL_S
            sys.stderr.write(f"reading {self._what}: {done:,} of {total:,} events and rows\n")
            sys.stderr.flush()


def restore(settings: Settings, snapshot: Path) -> None:
    """Puts a snapshot in the place of the settings' store, and says what is lost by it."""
    from netra_loop.journal.restoring import restore as put_in_place
    from netra_loop.journal.snapshots import FOLDER
    from netra_loop.journal.sqlite import path_of
    from netra_loop.settings import STORE_FILE, is_server

    if settings.store is not None and is_server(settings.store):
        raise UsageError(
            "--restore puts a file back, and this store is on a server",
            hint="restore the database from the server's own backups, with its pg_restore",
        )
    store = path_of(settings.store or str(settings.state_dir() / STORE_FILE))
    if not snapshot.is_file():
        raise UsageError(
            f"--restore {str(snapshot)!r} is no file", hint=f"ls -l {shlex.quote(str(store.parent / FOLDER))}"
        )
    done = put_in_place(store, snapshot)
    out = [f"{store} is now {done.snapshot}"]
    if done.aside is not None:
        out.append(f"what was there before is kept as {done.aside}")
    for session, (had, left) in done.lost.items():
        what = f"goes on from event {left} of {had}" if left else f"is not in it: its {had} events are in the old file"
        out.append(f"session {session} {what}")
    sys.stderr.write("".join(f"{line}\n" for line in out))
