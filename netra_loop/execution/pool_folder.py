"""What a pool leaves to be found by, should we die before we can end it: its folder, its processes, its cgroup.

Each pool has a folder under the system's temporary one. A record there, and beside the session's own files, says whose
it is and what its processes carry in their environment. `clear` ends and removes what dead processes left. A
folder without a record, of another user, or of a process that lives is let be.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from netra_loop import cgroups
from netra_loop.processes import ProcessIdentity, carrying, end_known, identify, same

PREFIX = "netra-loop-pool-"
MARK = "NETRA_LOOP_POOL"
_OWNER = "owner.json"
_POOL = "pool.json"
_NAME = re.compile(re.escape(PREFIX) + r"\w{8,}")


@dataclass(frozen=True)
class Record:
    """Whose a pool is; `mark` is the value of `NETRA_LOOP_POOL` in its processes, `group` its cgroup's folder."""

    owner: ProcessIdentity
    mark: str
    group: str | None

    @classmethod
    def new(cls, mark: str, group: cgroups.Group | None) -> Record:
        """Ours."""
        own = identify(os.getpid())
        assert own is not None
        return cls(own, mark, None if group is None else str(group.path))

    @classmethod
    def read(cls, file: Path) -> Record | None:
        """None where there is none, or one that is being written or of another making."""
        try:
            row = json.loads(file.read_text())
            owner, mark, group = ProcessIdentity(**row["owner"]), row["mark"], row["group"]
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if not isinstance(mark, str) or not _NAME.fullmatch(mark) or not isinstance(group, str | None):
            return None
        return cls(owner, mark, group)

    def write(self, folder: Path, scratch: Path) -> None:
        """Into the pool's folder, and into the session's."""
        text = json.dumps(asdict(self))
        (folder / _OWNER).write_text(text)
        (scratch / _POOL).write_text(text)

    def is_left(self) -> bool:
        """Whether its owner is dead."""
        return not same(self.owner)

    async def end(self) -> None:
        """Ends all that its processes left running, wherever it put itself."""
        if self.group is not None:
            await cgroups.sweep(self.group)
        for stray in carrying(MARK, self.mark):
            await end_known(stray, term_grace_s=0)


def make() -> Path:
    """A new folder that nobody else may enter."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=tempfile.gettempdir()))


async def clear(scratch: Path, parent: Path | None = None) -> None:
    """Ends and removes what pools of dead processes left: the session's in `scratch`, and all others that can be found
    in `parent` (None: the system's temporary folder). Called before anything of a session runs.
    """
    await cgroups.sweep()
    record = Record.read(scratch / _POOL)
    if record is not None and record.is_left():
        await record.end()
        forget(scratch)
    for folder in (parent or Path(tempfile.gettempdir())).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look into
            found = folder.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                continue
            record = Record.read(folder / _OWNER)
            if record is not None and record.is_left():
                await record.end()
                shutil.rmtree(folder, ignore_errors=True)


def forget(scratch: Path) -> None:
    """The session's pool has ended well."""
    (scratch / _POOL).unlink(missing_ok=True)
