"""A session removed: first what makes it one, then, in portions, the rows beside it.

Killed in between, the session is gone and some rows are left that nobody reads: `strays` finds them, and a new session
of the same name begins without them. Each portion is a transaction, so that nobody waits long for it.
"""

from __future__ import annotations

from netra_loop.journal import tables as t
from netra_loop.journal.sql import Connection

AT_ONCE = 2000  # rows in a transaction
_NOBODYS = "NOT EXISTS (SELECT 1 FROM sessions WHERE sessions.id = ?)"


def forget_head(connection: Connection, session: str, epoch: int) -> None:
    """The session, in that epoch, is in no list any more, and its events are gone. One that is given its name begins
    with a higher epoch: who owned this one shall not be taken for its owner.
    """
    connection.run("UPDATE store_identity SET epochs = ? WHERE epochs < ?", (epoch, epoch))
    connection.run("DELETE FROM sessions WHERE id = ?", (session,))
    connection.run("DELETE FROM events WHERE session = ?", (session,))


def forget_some(connection: Connection, session: str) -> bool:
    """Removes some rows of a session that is no more; False once there are none, or one of this name is there again:
    its rows are its own. Each statement looks for itself, since a session may be made between two of them.
    """
    for table in t.BESIDE:
        asked = table.select(f"WHERE session = ? AND {_NOBODYS} LIMIT {AT_ONCE}", table.key)
        found = connection.all(asked, (session, session))
        if found:
            these = " AND ".join(f"{name} = ?" for name in table.key)
            connection.many(table.delete(f"WHERE {these} AND {_NOBODYS}"), ((*row, session) for row in found))
            return True
    return False


def forget_rows(connection: Connection, session: str) -> None:
    """Removes what a removal that was cut short left under this name; where there is nothing, that costs nothing."""
    for table in t.BESIDE:
        connection.run(table.delete("WHERE session = ?"), (session,))


def strays(connection: Connection) -> set[str]:
    """The sessions that there are rows of, and nothing else, at this moment."""
    nobodys = "WHERE session NOT IN (SELECT id FROM sessions)"
    return {row[0] for table in t.BESIDE for row in connection.all(table.select(nobodys, ("DISTINCT session",)))}
