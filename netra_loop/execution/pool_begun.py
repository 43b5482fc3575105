"""A tests' interpreter, begun before an event loop is: the folder, the socket it will call in on, the process.

What asyncio takes to import is time that the interpreter may use. It imports pytest and nothing else, and then waits
for its order; who gives it is `pool_ahead`.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from netra_loop import cgroups
from netra_loop.execution import pool_folder, pool_spare

_OURS = "NETRA_LOOP_"  # what nothing looks at while an interpreter starts; it may come later
BACKLOG = 1024  # processes that call in at one moment


class Begun:
    """Starts at once. `environ` is all of the tests' environment but for `NETRA_LOOP_…`. Raises OSError, and
    EnvironmentFailed; whether the interpreter itself can be started is known later.

    It ends, with all that it started and the group, once `guardian.line` closes, which happens however we end; the
    folder is for whoever takes it over to remove.
    """

    def __init__(self, python: Path, root: Path, environ: Mapping[str, str]) -> None:
        self.python, self.root, self.environ = python, root, given(environ)
        self.folder = pool_folder.Folder()
        self.socket = socket.socket(socket.AF_UNIX)
        self.group: cgroups.Group | None = None
        self.token = os.urandom(16).hex()
        name = f"zygote-{self.token[:8]}"
        self.files = str(self.folder.path / name)
        try:
            self.socket.bind(str(self.folder.path / pool_folder.SOCKET))
            self.socket.listen(BACKLOG)
            self.group = cgroups.make()
            self.own_group = self.group and self.group.child(name)
            self.guardian = pool_spare.take()
            self.guardian.line.sendall(self._order())
        except BaseException:
            self.drop()
            raise

    def _order(self) -> bytes:
        record = pool_folder.Record.new(self.folder.path.name, self.group)
        record.write(self.folder.path)
        return pool_spare.order(
            pool_spare.interpreter(self.python, str(self.folder.path / pool_folder.SOCKET), self.token, self.files),
            env={**self.environ, pool_folder.MARK: record.mark},
            cwd=self.root,
            output=Path(self.files + ".log"),
            group=self.own_group,
            join=self.own_group and self.own_group.child("zygote"),
            heirs=True,
        )

    def drop(self) -> None:
        """Lets go of what nobody has taken over. The guardian, a child of ours, ends by itself then."""
        if hasattr(self, "guardian"):
            self.guardian.line.close()
        self.socket.close()
        self.folder.close()
        if self.group is not None:
            self.group.remove()


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """What an interpreter starts with."""
    return {name: value for name, value in environ.items() if not name.startswith(_OURS)}
