"""YAML text -> `LoopSpec`, or everything that is wrong with it in one error.

Four passes, each in its own module: `nodes` makes a tree that knows where everything stands and refuses what is
dangerous; the shapes of `grammar` read it into canonical values; `checks` looks at what only the whole can tell;
`assemble` makes the models. The same grammar draws the JSON Schema, see `loopschema`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from netra_loop.core.loopfile import grammar, grammar_services
from netra_loop.core.loopfile.assemble import assemble
from netra_loop.core.loopfile.checks import check
from netra_loop.core.loopfile.nodes import MAX_CHARACTERS, compose
from netra_loop.core.loopfile.problems import Problems
from netra_loop.core.loopfile.shape import BAD, At, Notes
from netra_loop.core.spec import LoopSpec
from netra_loop.core.template import closest, escape
from netra_loop.errors import Problem, UsageError

__all__ = ["MAX_CHARACTERS", "NAME", "apply_vars", "doubts", "load"]

NAME = re.compile(grammar_services.NAME)
"""What a loop, and a session, may be called: `NAME.fullmatch(text)`."""


def load(text: str, path: Path, shown: str | None = None) -> LoopSpec:
    """The loop that `text` describes; `path` is the file it came from, `shown` how messages call it (default: `path`).

    Raises LoopFileError with every problem found, in the order of the file. Nothing is read, started or looked up:
    whether an environment variable is set, or a folder is there, shows when it is needed.
    """
    values, notes = _read(text, shown or str(path))
    return assemble(values, path, notes)


def doubts(text: str, path: Path) -> tuple[Problem, ...]:
    """What `text` says rightly and may not mean, in the order of the file. Raises LoopFileError as `load` does."""
    from netra_loop.core.loopfile.doubting import doubt  # for `validate` alone

    values, notes = _read(text, str(path))
    found = Problems(str(path))
    doubt(values, At(found, notes))
    return found.error().problems if found else ()


def _read(text: str, shown: str) -> tuple[Any, Notes]:
    problems = Problems(shown)
    notes = Notes()
    at = At(problems, notes)
    root = compose(text, problems)
    values = BAD if root is None else grammar.LOOP.read(root, at)
    if root is not None and values is not BAD:
        check(root, values, at)
    if problems:
        raise problems.error()
    return values, notes


def apply_vars(spec: LoopSpec, given: Mapping[str, str]) -> LoopSpec:
    """`spec` with the values of `--var` in place of its own. They are literal: `${…}` in them is not filled in.

    Raises UsageError for a name that the loop file's `vars` do not have.
    """
    known = tuple(spec.vars)
    for name in given:
        if name not in spec.vars:
            meant = closest(name, known)
            asked = f" (did you mean {meant!r}?)" if meant else ""
            raise UsageError(
                f"--var {name!r} is no variable of {spec.path.name}{asked}",
                hint=f"it has: {', '.join(known)}" if known else f"declare it under vars in {spec.path.name}",
            )
    replaced = {**spec.vars, **{name: escape(value) for name, value in given.items()}}
    return spec.model_copy(update={"vars": replaced})
