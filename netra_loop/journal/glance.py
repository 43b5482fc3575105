"""Whether the session that is to be resumed is held, found out before anything heavy is imported.

Whoever comes second is to hear of it within a second, and to import what drives a session takes longer than that. This
finds a holder or it finds nothing: whatever else is there to be said (no such session, a store that cannot be used) is
said by those who look properly, right afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from netra_loop.errors import SessionHeld, UsageError
from netra_loop.settings import STORE_FILE, is_server

ENDED = ("met", "unmet", "inconclusive", "stuck")
_PATIENCE_S = 0.1  # whoever was killed a moment ago has let go within this
_PATIENCE_ON_SERVER_S = 0.4
_PAUSE_S = 0.05
_CONNECT_S = 2

Ask = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


def check_free(store: str, session: str | None) -> None:
    """SessionHeld where `session` (an id, the beginning of one, `latest`; None: the newest unfinished one) is held by
    another process all the while. `store` is a server's URL, or a file's path.
    """
    if is_server(store):
        _check_on_server(store, session)
    else:
        _check_beside(Path(store.removeprefix("sqlite://")), session)


def _check_beside(store: Path, session: str | None) -> None:
    folder = store.parent / ("sessions" if store.name == STORE_FILE else f"{store.name}.sessions")
    held = {path.stem: path for path in folder.glob("*.lock") if _is_locked(path)}
    if not held:
        return  # nobody has the file open: SQLite would leave files beside it
    with contextlib.suppress(sqlite3.Error, OSError, UnicodeError):  # a name that is no UTF-8 is none of a session
        url = f"{store.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(url, uri=True, timeout=_PAUSE_S)) as connection:
            found = _meant(session, lambda asked, values: connection.execute(asked, values).fetchall())
        if found in held and _stays(lambda: _is_locked(held[found]), _PATIENCE_S):
            raise SessionHeld(found, _named(json.loads(held[found].read_bytes())))


def _check_on_server(url: str, session: str | None) -> None:
    import psycopg  # costs what only a shared store is worth

    from netra_loop.journal.postgres_address import read_address

    try:
        parameters = read_address(url).parameters() | {"connect_timeout": _CONNECT_S}
        with psycopg.connect(**parameters, autocommit=True) as connection:

            def ask(asked: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
                return connection.execute(asked.replace("?", "%s").encode(), values).fetchall()

            found = _meant(session, ask)
            if found is not None and _stays(lambda: bool(_owner(ask, found)), _PATIENCE_ON_SERVER_S):
                raise SessionHeld(found, _named(_owner(ask, found)))
    except (psycopg.Error, UsageError, UnicodeError):
        return


def _meant(session: str | None, ask: Ask) -> str | None:
    """The id that is meant; None where there is none, or more than one."""
    if session in {None, "latest"}:
        unfinished = f"WHERE state NOT IN {ENDED}" if session is None else ""
        found = ask(f"SELECT id FROM sessions {unfinished} ORDER BY ordinal DESC LIMIT 1", ())  # noqa: S608
    else:
        found = ask("SELECT id FROM sessions WHERE substr(id, 1, length(?)) = ?", (session, session))
        found = [row for row in found if row[0] == session] or found
    return found[0][0] if len(found) == 1 else None


def _owner(ask: Ask, session: str) -> dict[str, Any]:
    """What the row of whoever holds the session says; empty where nobody does."""
    from netra_loop.journal.postgres_key import HELD, lock_key

    about = ask(
        "SELECT current_schema(), generation, pid, host, since FROM netra_loop_owners WHERE session = ?", (session,)
    )
    if not about or not ask(HELD, (lock_key(about[0][0], session, about[0][1]),)):
        return {}
    return dict(zip(("pid", "host", "since"), about[0][2:], strict=True))


def _stays(is_held: Callable[[], bool], patience_s: float) -> bool:
    """Whether it is held, and still after that time."""
    until = time.monotonic() + patience_s
    while is_held():
        if time.monotonic() >= until:
            return True
        time.sleep(_PAUSE_S)
    return False


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _named(said: dict[str, Any]) -> str:
    """As `Holder` says it."""
    try:
        since = datetime.fromisoformat(said["since"])
        return f"process {said['pid']} on {said['host']} (since {since:%Y-%m-%d %H:%M:%S} UTC)"
    except (KeyError, ValueError, TypeError):
        return "a process that took it this moment"
