"""What a store's name may be, and what was probably meant by one that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from netra_loop.errors import StoreError, UsageError
from netra_loop.journal.neighbours import stores_in
from netra_loop.settings import STATE_FOLDER, is_server

_EXPECTED = "expected sqlite:///PATH or a path, or postgresql://USER@HOST/DATABASE"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,19}")
_PLAIN = ("/", "./", "../")  # what begins so is a path, whatever follows
_LIBPQ = re.compile(r"(^|\s)(host|hostaddr|port|dbname|user|password|service)\s*=", re.IGNORECASE)
_SERVERS = ("postgres", "psql", "pgsql", "mysql", "maria", "sqlite", "http")
_SHOWN = 3


def check_name(store: str) -> None:
    """UsageError for what looks like a URL, or libpq's words, and is none that we know: it would become a file and
    folders, with the password in their names. Nothing of it is repeated, but a scheme: any part may be the password.
    """
    scheme, colon, _ = store.partition("://")
    if colon and (scheme == "sqlite" or is_server(store)):
        return
    if colon and _SCHEME.fullmatch(scheme):
        raise UsageError(f"store {scheme + '://…'!r} cannot be used, {_EXPECTED}", hint="netra-loop doctor")
    if colon or _looks_like_a_server(store):
        raise UsageError(
            f"the store's name looks like a server's URL, and is none that can be read: {_EXPECTED}",
            hint="look at how it begins; a file that is called so is written ./NAME",
        )


def _looks_like_a_server(store: str) -> bool:
    if store.startswith("//"):
        return "@" in store
    if store.startswith(_PLAIN):
        return False
    first, _, rest = store.partition("/")
    meant = first.lower().startswith(_SERVERS) or "@" in store
    credentials = ":" in store.partition("@")[0] and "@" in store
    return ":" in first or (rest.startswith("/") and meant) or credentials or _LIBPQ.search(store) is not None


def missing(path: Path) -> StoreError:
    """That no store is at `path`, how far that path is right, and which stores are near."""
    there = next(folder for folder in path.parents if folder.is_dir())
    known = (
        "" if there == path.parent else f"; {str(there)!r} is there, {path.relative_to(there).parts[0]!r} in it is not"
    )
    near = [one for folder in (there, there / STATE_FOLDER) for one in stores_in(folder)][:_SHOWN]
    found = f"; found nearby: {', '.join(repr(str(one)) for one in near)}" if near else ""
    return StoreError(
        f"there is no store at {str(path)!r}, and none was made{known}{found}",
        hint="name one that is there with --store or NETRA_LOOP_STORE; netra-loop run LOOP makes a new one",
    )
