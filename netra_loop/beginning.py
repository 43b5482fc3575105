"""A session that is about to be: its loop file read, what was asked for held against it, and nothing touched yet.

Beside `app`, which imports every phase: what a session's tests need can so be told while that is still under way.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path

from netra_loop import __version__
from netra_loop.core import events as ev
from netra_loop.core import loopfile
from netra_loop.core.spec import LoopSpec
from netra_loop.errors import LoopFileError, Problem, UsageError
from netra_loop.execution.options import PoolOptions
from netra_loop.phases.given import options_within
from netra_loop.phases.scope import Scope
from netra_loop.settings import Settings
from netra_loop.values import dataclass

_MOST_BYTES = 4 * loopfile.MAX_CHARACTERS


@dataclass(frozen=True)
class Options:
    """What the command line says of a run or a resume. `budget_s` None: no limit of this process's own. `takeover`: a
    session that is held is taken from its owner.
    """

    environment: str | None = None
    vars: Mapping[str, str] = field(default_factory=dict)
    only: str | None = None
    max_iterations: int | None = None
    budget_s: float | None = None
    session_name: str | None = None
    takeover: bool = False


def read_loop(path: Path) -> tuple[LoopSpec, str]:
    """A loop file's meaning and its text. Raises LoopFileError with all that is wrong in it."""
    text = text_of(path)
    return loopfile.load(text, path), text


def text_of(path: Path) -> str:
    """The file's text. What is no regular file is not opened, what is too large not read: a FIFO never ends."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO would wait for its writer
        with os.fdopen(number, "rb") as file:
            kind = os.fstat(number)
            if not stat.S_ISREG(kind.st_mode):
                raise LoopFileError([Problem(str(path), 1, 1, "this is no regular file, expected a YAML file")])
            raw = file.read(_MOST_BYTES + 1)
    except IsADirectoryError as error:
        raise LoopFileError([Problem(str(path), 1, 1, "this is no regular file, expected a YAML file")]) from error
    except OSError as error:
        raise LoopFileError([Problem(str(path), 1, 1, f"the file cannot be read: {error.strerror}")]) from error
    if len(raw) > _MOST_BYTES:
        found = f"the file has {max(kind.st_size, len(raw)):,} bytes, expected at most {_MOST_BYTES:,}"
        raise LoopFileError([Problem(str(path), 1, 1, found)])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        found = f"byte 0x{raw[error.start]:02x} is no UTF-8, expected a text file in UTF-8"
        raise LoopFileError([Problem(str(path), line, column, found)]) from error


@dataclass(frozen=True)
class Beginning:
    """A session that is about to be: all that could be refused without a store was looked at."""

    id: str
    spec: LoopSpec  # with the command line's variables
    started: ev.SessionStarted
    options: Options


def prepare(path: Path, options: Options, now: datetime) -> Beginning:
    """A new session of the loop at `path`. Raises LoopFileError and UsageError; nothing is touched."""
    spec, text = read_loop(path)
    environment = _environment(spec, options.environment)
    check_tier(spec, options.only)
    started = ev.SessionStarted(
        iteration=1,
        loop=spec.name,
        loop_file=str(path),
        loop_text=text,
        environment=environment,
        first_phase=spec.phases[0].name,
        vars=dict(options.vars),
        only=options.only,
        max_iterations=options.max_iterations,
        version=__version__,
    )
    id_ = session_id(spec.name, now, options.session_name)
    return Beginning(id_, loopfile.apply_vars(spec, options.vars), started, options)


def first_collection(beginning: Beginning, settings: Settings) -> PoolOptions | None:
    """How the session's tests will first be collected, where that is known before it has begun: nothing comes before
    the collection that they, their environment or its variables could depend on. None where it is not.
    """
    spec = beginning.spec
    if (
        spec.workspace.git != "none"
        or spec.phases[0].uses != "select"
        or spec.tests is None
        or not spec.tests.paths
        or spec.auth
    ):
        return None
    scope = _Foreseen(spec, beginning.started.environment, beginning.id, 1, settings.environ)
    try:
        return options_within(scope)
    except UsageError:  # said when its time comes, or no error then
        return None


class _Foreseen(Scope):
    """What is known before a session has begun."""

    def lookup(self, name: str) -> str | None:
        if name.partition(".")[0] in {"env", "vars", "environment", "session", "iteration"}:
            return super().lookup(name)
        raise UsageError(f"${{{name}}} is not known yet")


def session_id(loop: str, now: datetime, name: str | None) -> str:
    """A new session's id: `<loop>-<UTC yyyymmdd-hhmmss>-<4 chars>`, or the name asked for."""
    if name is not None:
        if not loopfile.NAME.fullmatch(name):
            raise UsageError(
                f"--session-name {name!r} is no session name, expected lower-case letters, digits and hyphens, "
                "a letter or digit first, at most 63",
                hint="a session's name becomes a label of its revisions, which may hold no more than that",
            )
        return name
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return f"{loop}-{now:%Y%m%d-%H%M%S}-{''.join(secrets.choice(letters) for _ in range(4))}"


def _environment(spec: LoopSpec, asked: str | None) -> str:
    names = list(spec.environments)
    if asked is None:
        return names[0]
    if asked not in names:
        raise UsageError(f"--env {asked!r} is no environment of {spec.path.name}", hint=f"it has: {', '.join(names)}")
    return asked


def check_tier(spec: LoopSpec, only: str | None) -> None:
    """Raises UsageError where `only` is no tier of the loop; None is none asked for."""
    names = [tier.name for tier in spec.tiers]
    if only is not None and only not in names:
        raise UsageError(
            f"--only {only!r} is no tier of {spec.path.name}",
            hint=f"it has: {', '.join(names) or 'no tiers'}",
        )
