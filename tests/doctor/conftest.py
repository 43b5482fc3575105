"""A subject to look at: settings, and a loop in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from netra_loop.clock import SystemClock
from netra_loop.core import loopfile
from netra_loop.doctor.base import Check, Line, Loop, Subject
from netra_loop.phases.scope import Scope
from netra_loop.settings import Settings
from netra_loop.toolbox import SessionTools

HEAD = """\
version: 1
name: night
phases: {select: {uses: select}}
"""
NOWHERE = "environments: {here: {cloud: none}}\n"


def settings(folder: Path, **environ: str) -> Settings:
    return Settings({"PATH": os.environ["PATH"], **environ}, None, False, folder)


def written(folder: Path, text: str) -> Path:
    """A loop file of this text, with tests where it has none."""
    if "tests:" not in text:
        text += "tests: {paths: [../tests]}\n"
    path = folder / "loops" / "night.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(HEAD + text)
    return path


@pytest.fixture
async def subject(tmp_path: Path) -> AsyncIterator[Callable[..., Subject]]:
    """Makes one of a loop file's text; what it starts ends with the test."""
    tools = []

    def make(text: str = NOWHERE, **environ: str) -> Subject:
        path = written(tmp_path, text)
        spec = loopfile.load(path.read_text(), path)
        chosen = next(iter(spec.environments))
        of = settings(tmp_path, **environ)
        tools.append(SessionTools("doctor", spec, chosen, of, tmp_path / "tools", SystemClock()))
        return Subject(of, SystemClock(), Loop(spec, chosen, Scope(spec, chosen, "doctor", 1, of.environ), tools[-1]))

    yield make
    for one in tools:
        await one.close()


async def lines(check: Check, subject: Subject) -> list[Line]:
    return [line async for line in check(subject)]


async def one(check: Check, subject: Subject) -> Line:
    (line,) = await lines(check, subject)
    return line
