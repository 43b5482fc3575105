"""A session removed: first what makes it one, then, in portions, the rows beside it.

Killed in between, the session is gone and some rows are left that nobody reads: `strays` finds them, and a new session
of the same name begins without them. Each portion is a transaction, so that nobody waits long for it.
"""

from __future__ import annotations

import sqlalchemy as sa

from netra_loop.journal import tables as t

AT_ONCE = 2000  # rows in a transaction
_BESIDE = (t.selection, t.attempts, t.results, t.entries, t.findings)


def forget_head(connection: sa.Connection, session: str, epoch: int) -> None:
    """The session, in that epoch, is in no list any more, and its events are gone. One that is given its name begins
    with a higher epoch: who owned this one shall not be taken for its owner.
    """
    c = t.identity.c
    connection.execute(sa.update(t.identity).where(c.epochs < epoch).values(epochs=epoch))
    connection.execute(sa.delete(t.sessions).where(t.sessions.c.id == session))
    connection.execute(sa.delete(t.events).where(t.events.c.session == session))


def forget_some(connection: sa.Connection, session: str) -> bool:
    """Removes some rows of a session that is no more; False once there are none, or one of this name is there again:
    its rows are its own. Each statement looks for itself, since a session may be made between two of them.
    """
    for table in _BESIDE:
        keys, nobodys = list(table.primary_key), ~sa.exists().where(t.sessions.c.id == session)
        asked = sa.select(*keys).where(table.c.session == session, nobodys).limit(AT_ONCE)
        found = connection.execute(asked).fetchall()
        if found:
            one = sa.delete(table).where(*(key == sa.bindparam(f"of_{key.name}") for key in keys), nobodys)
            connection.execute(one, [{f"of_{name}": value for name, value in row._asdict().items()} for row in found])
            return True
    return False


def forget_rows(connection: sa.Connection, session: str) -> None:
    """Removes what a removal that was cut short left under this name; where there is nothing, that costs nothing."""
    for table in _BESIDE:
        connection.execute(sa.delete(table).where(table.c.session == session))


def strays(connection: sa.Connection) -> set[str]:
    """The sessions that there are rows of, and nothing else, at this moment."""
    known = sa.select(t.sessions.c.id)
    return {
        row.session
        for table in _BESIDE
        for row in connection.execute(sa.select(table.c.session).where(table.c.session.not_in(known)).distinct())
    }
