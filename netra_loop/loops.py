"""Which file a loop's name means, and what can be told of its tests before anything of it is understood.

Here and not in `app`, since what is done first must not wait for the import of everything.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import NamedTuple

from netra_loop.errors import UsageError
from netra_loop.settings import Settings

_LONGEST = 1 << 20  # bytes; a longer one is understood first
_TESTS = re.compile(rb"\btests\s*:")
_OWN_WAY = re.compile(rb"\b(?:python|root|env)[\"']?\s*:")  # keys that say otherwise, wherever they stand


def find_loop(settings: Settings, name: str) -> Path:
    """The loop file `name` means: a path, or `loops/NAME.yaml` from the working directory upwards."""
    given = Path(name).expanduser()
    if given.suffix in {".yaml", ".yml"} or "/" in name:
        if (settings.cwd / given).exists():
            return (settings.cwd / given).resolve()
        raise UsageError(f"there is no loop file {name!r}", hint="give a path to one, or a name in loops/")
    for folder in (settings.cwd, *settings.cwd.parents):
        for suffix in (".yaml", ".yml"):
            candidate = folder / "loops" / (name + suffix)
            if candidate.is_file():
                return candidate
    known = sorted(
        path.stem for folder in (settings.cwd, *settings.cwd.parents) for path in (folder / "loops").glob("*.y*ml")
    )
    raise UsageError(
        f"there is no loop {name!r}: no loops/{name}.yaml from {settings.cwd} upwards",
        hint=f"loops here: {', '.join(known)}" if known else "netra-loop run PATH/TO/LOOP.yaml",
    )


def find_again(settings: Settings, recorded: Path) -> Path:
    """The loop file of a session that began with the file `recorded`: that one or, on another machine or in another
    checkout, the one at the same place below `loops/` from the working directory upwards. `recorded` itself where it
    was removed from a folder that is still there. UsageError: nothing of it is here.
    """
    if recorded.exists():
        return recorded
    place = _place(recorded)
    above = ("loops",) if "loops" in recorded.parts[:-1] else ()
    for folder in (settings.cwd, *settings.cwd.parents):
        candidate = folder.joinpath(*above, *place)
        if candidate.is_file():
            return candidate
    if recorded.parent.is_dir():
        return recorded
    raise UsageError(
        f"the session's loop file {str(recorded)!r} is not on this machine, nor {'/'.join((*above, *place))} from "
        f"{str(settings.cwd)!r} upwards",
        hint="resume it in a checkout of its project: cd PROJECT, then the same again",
    )


def same_loop(recorded: Path, path: Path) -> bool:
    """Whether a session that began with the file `recorded` is one of the loop file at `path`; see `find_again`."""
    return recorded == path or (not recorded.exists() and _place(recorded) == _place(path))


def _place(path: Path) -> tuple[str, ...]:
    """Where a loop file is below `loops/`; its name alone where it is not."""
    parts = path.parts
    folders = [at for at, part in enumerate(parts[:-1]) if part == "loops"]
    return parts[folders[-1] + 1 :] if folders else parts[-1:]


def root_of(folder: Path) -> Path:
    """Where pytest runs for a loop file in `folder` that does not say: what holds `loops/`, else `folder` itself."""
    return folder.parent if folder.name == "loops" else folder


class Guess(NamedTuple):
    """How the tests' interpreter is started, most likely. The environment is our own."""

    python: Path
    root: Path


def guess(path: Path) -> Guess | None:
    """By a glance at the loop file; None where it has no tests, or may have said something of its own. What comes of it
    is held against what the file turns out to mean.
    """
    try:
        if not path.is_file() or path.stat().st_size > _LONGEST:
            return None
        text = path.read_bytes()
    except OSError:
        return None
    if _TESTS.search(text) is None or _OWN_WAY.search(text) is not None:
        return None
    return Guess(Path(sys.executable), root_of(path.parent))
