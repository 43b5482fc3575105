"""The machine we are on: interpreters, git, how processes are kept together, the terminal, and the CI job around us."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from netra_loop import cgroups
from netra_loop.core import durations
from netra_loop.doctor.base import Line, Subject, fail, ok, warn
from netra_loop.errors import UsageError
from netra_loop.phases.given import interpreter as tests_interpreter
from netra_loop.processes import die_with_parent, end_tree
from netra_loop.values import dataclass

_OLDEST = (3, 11)
_OLDEST_OF_TESTS = (3, 9)
_OLDEST_PYTEST = (7, 4)
_START_S = 15.0
_ASK = """
import json, os, sys
told = {"python": list(sys.version_info[:3]), "fork": hasattr(os, "fork"), "pytest": None, "prefix": sys.prefix}
try:
    import pytest
    told["pytest"] = pytest.__version__
except ImportError as error:
    told["why"] = str(error)
print(json.dumps(told))
"""
_HOUR = 3600.0


async def interpreter(_: Subject) -> AsyncIterator[Line]:
    """netra-loop's own."""
    told = f"Python {platform.python_version()} at {sys.executable}"
    if sys.version_info[:2] < _OLDEST:
        yield fail(
            "interpreter", f"{told}, expected 3.11 or newer", "install netra-loop with a newer one: pipx install"
        )
        return
    yield ok("interpreter", told + (" (a virtual environment)" if sys.prefix != sys.base_prefix else ""))


async def tests(subject: Subject) -> AsyncIterator[Line]:
    """The one that runs the tests: whether it starts, in the tests' folder and environment, and has pytest."""
    loop = subject.loop
    if loop is None or loop.spec.tests is None:
        return
    try:
        python = tests_interpreter(loop.spec, loop.scope)
    except UsageError as error:
        yield fail("tests' interpreter", str(error), error.hint or "")
        return
    told = await _ask(python, loop.spec.root_dir, subject.settings.environ)
    if isinstance(told, str):
        yield fail("tests' interpreter", f"{python} {told}", f"mend tests.python in {loop.spec.path.name}")
        return
    version = ".".join(map(str, told["python"]))
    if tuple(told["python"][:2]) < _OLDEST_OF_TESTS:
        yield fail("tests' interpreter", f"{python} is Python {version}, expected 3.9 or newer", "make a newer one")
    elif told["pytest"] is None:
        why = f"{python} (Python {version}) has no pytest: {told['why']}"
        yield fail("tests' interpreter", why, f"{python} -m pip install pytest, or name another as tests.python")
    elif _version(told["pytest"]) < _OLDEST_PYTEST:
        old = f"{python} has pytest {told['pytest']}, expected 7.4 or newer"
        yield fail("tests' interpreter", old, f"{python} -m pip install -U pytest")
    elif not told["fork"]:
        yield warn("tests' interpreter", f"{python} cannot fork: each worker collects for itself, which takes longer")
    else:
        yield ok("tests' interpreter", f"Python {version} with pytest {told['pytest']} at {python}")


async def _ask(python: Path, root: Path, environ: Mapping[str, str]) -> dict[str, Any] | str:
    """What it says of itself, or in words why it says nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            str(python), "-c", _ASK, cwd=root, env=environ, start_new_session=True, preexec_fn=die_with_parent(),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        return f"cannot be started in {root}: {error.strerror}"
    try:
        async with asyncio.timeout(_START_S):
            out, err = await process.communicate()
    except TimeoutError:
        return f"did not start within {_START_S:g} s"
    finally:
        await asyncio.shield(end_tree(process.pid, term_grace_s=0))
    try:
        return dict(json.loads(out.splitlines()[-1]))
    except (ValueError, IndexError):
        last = err.decode("utf-8", "replace").strip().splitlines()
        return f"ended with code {process.returncode}: {last[-1] if last else 'it said nothing'}"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


async def git(subject: Subject) -> AsyncIterator[Line]:
    """Needed where the loop file says so, and to know a fix from none."""
    needed = subject.loop is not None and "${git." in subject.loop.spec.model_dump_json()
    found = shutil.which("git", path=subject.settings.environ.get("PATH"))
    if found is None:
        line = "git is not installed"
        yield fail("git", f"{line}, and the loop uses ${{git.…}}", "install git") if needed else ok("git", line)
        return
    root = subject.settings.cwd if subject.loop is None else subject.loop.spec.root_dir
    inside = any((folder / ".git").exists() for folder in (root, *root.parents))
    if needed and not inside:
        yield fail("git", f"{root} is in no repository, and the loop uses ${{git.…}}", "git init, and commit")
        return
    yield ok("git", found if inside else f"{found}; {root} is in no repository")


async def processes(_: Subject) -> AsyncIterator[Line]:
    """How what tests start is kept together."""
    if not hasattr(os, "fork"):
        yield warn("processes", f"{platform.system()} has no fork: each worker starts and collects for itself")
    elif cgroups.available():
        yield ok("processes", "each worker gets a cgroup of its own")
    else:
        yield ok("processes", "no cgroup can be made here: what tests leave behind is swept up by a subreaper")


async def terminal(subject: Subject) -> AsyncIterator[Line]:
    """How progress is going to be shown."""
    if subject.settings.ci:
        yield ok("terminal", "CI is set: progress is told line by line")
    elif not sys.stdout.isatty():
        yield ok("terminal", "stdout is no terminal: progress is told line by line")
    else:
        yield ok("terminal", f"{os.environ.get('TERM', 'unknown')}, {shutil.get_terminal_size().columns} columns")


@dataclass(frozen=True)
class _Runner:
    """A CI system: the variable it is known by, and how long it lets a job run by default; `told` reads the job's own
    limit where the system says it.
    """

    name: str
    known_by: str
    limit_s: float
    told: Callable[[Mapping[str, str]], str | None] = lambda _: None


_RUNNERS = (
    _Runner("GitHub Actions", "GITHUB_ACTIONS", 6 * _HOUR),
    _Runner("GitLab CI", "GITLAB_CI", _HOUR, lambda environ: environ.get("CI_JOB_TIMEOUT")),
    _Runner("Cloud Build", "BUILDER_OUTPUT", _HOUR),
    _Runner("Azure Pipelines", "TF_BUILD", _HOUR),
    _Runner("Bitbucket Pipelines", "BITBUCKET_BUILD_NUMBER", 2 * _HOUR),
    _Runner("CircleCI", "CIRCLECI", 5 * _HOUR),
    _Runner("a Cloud Run job", "CLOUD_RUN_JOB", _HOUR / 6),
)
_MARGIN_S = 1800.0


async def time_limit(subject: Subject) -> AsyncIterator[Line]:
    """Whether the CI job around us ends before the loop may."""
    environ = subject.settings.environ
    runner = next((one for one in _RUNNERS if environ.get(one.known_by)), None)
    if runner is None:
        return
    told = runner.told(environ)
    limit_s = float(told) if told and told.isdigit() else runner.limit_s
    shown = f"{runner.name} ends a job after {durations.show(limit_s)}" + (
        "" if told else " where it says nothing else"
    )
    wanted_s = subject.loop.spec.limits.duration_s if subject.loop is not None else 0.0
    if wanted_s <= limit_s:
        yield ok("time limit", shown)
        return
    budget = durations.show(max(limit_s - _MARGIN_S, limit_s / 2)).replace(" ", "")
    assert subject.loop is not None
    name = subject.loop.spec.path
    yield warn(
        "time limit",
        f"{shown}; the loop may take {durations.show(wanted_s)}",
        f"netra-loop run {name} --continue --budget {budget}, in a scheduled job: it pauses, and goes on in the next",
    )
