"""A pool's folder under the system's temporary one, and the removal of those that dead processes left there.

Each holds a file that says whose it is. A folder without one, of another user, or of a process that lives is let be.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
import tempfile
from dataclasses import asdict
from pathlib import Path

from netra_loop.processes import ProcessIdentity, identify, same

PREFIX = "netra-loop-pool-"
_OWNER = "owner.json"


def make() -> Path:
    """A new folder that nobody else may enter, marked as ours; removes what was left behind first."""
    parent = Path(tempfile.gettempdir())
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    own = identify(os.getpid())
    if own is not None:
        (folder / _OWNER).write_text(json.dumps(asdict(own)))
    return folder


def sweep(parent: Path) -> None:
    """Removes the folders in `parent` whose owner is known to be dead."""
    for folder in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or not ours to look into
            found = folder.lstat()
            if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and _is_left(folder / _OWNER):
                shutil.rmtree(folder, ignore_errors=True)


def _is_left(file: Path) -> bool:
    try:
        return not same(ProcessIdentity(**json.loads(file.read_text())))
    except (ValueError, TypeError):  # being written, or of another making
        return False
