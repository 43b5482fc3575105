"""Tests of what a doctor says of the machine."""

from __future__ import annotations

import sys

import pytest

from netra_loop.clock import SystemClock
from netra_loop.doctor import machine
from netra_loop.doctor.base import Status, Subject
from tests.doctor.conftest import NOWHERE, lines, one, settings

TESTS = NOWHERE + "tests: {paths: [../tests], python: PYTHON}\n"


async def test_our_own_interpreter_is_new_enough(subject):
    assert (await one(machine.interpreter, subject())).status is Status.OK


async def test_an_interpreter_with_pytest(subject):
    line = await one(machine.tests, subject(TESTS.replace("PYTHON", str(sys.executable))))
    assert line.status is Status.OK
    assert f"pytest {pytest.__version__}" in line.detail


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("exit 3", "ended with code 3: it said nothing"),
        ("echo no such module >&2; exit 1", "ended with code 1: no such module"),
        ('echo \'{"python": [3, 11, 1], "fork": true, "pytest": null, "why": "No module named pytest"}\'', "no pytest"),
        ('echo \'{"python": [3, 8, 1], "fork": true, "pytest": "8.0.0"}\'', "is Python 3.8.1, expected 3.9 or newer"),
        ('echo \'{"python": [3, 11, 1], "fork": true, "pytest": "6.2.5"}\'', "pytest 6.2.5, expected 7.4 or newer"),
    ],
)
async def test_an_interpreter_that_will_not_do(subject, tmp_path, script, told):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    line = await one(machine.tests, subject(TESTS.replace("PYTHON", str(python))))
    assert line.status is Status.FAIL
    assert told in line.detail
    assert line.mend


async def test_an_interpreter_that_is_not_there(subject):
    line = await one(machine.tests, subject(TESTS.replace("PYTHON", "../nowhere/python")))
    assert (line.status, "was not found" in line.detail) == (Status.FAIL, True)


async def test_git_is_missed_only_where_the_loop_uses_it(subject, tmp_path):
    plain = subject(PATH=str(tmp_path))
    assert (await one(machine.git, plain)).status is Status.OK
    using = subject(NOWHERE + 'tests: {paths: [t], env: {SHA: "${git.sha}"}}\n', PATH=str(tmp_path))
    assert (await one(machine.git, using)).status is Status.FAIL
    outside = subject(NOWHERE + 'tests: {paths: [t], env: {SHA: "${git.sha}"}}\n')
    assert "in no repository" in (await one(machine.git, outside)).detail


@pytest.mark.parametrize(
    ("environ", "limits", "status", "mend"),
    [
        ({"GITHUB_ACTIONS": "true"}, "20h", Status.WARN, "--continue --budget 5h30m"),
        ({"GITHUB_ACTIONS": "true"}, "5h", Status.OK, ""),
        ({"GITLAB_CI": "true", "CI_JOB_TIMEOUT": "7200"}, "3h", Status.WARN, "--budget 1h30m"),
        ({"GITLAB_CI": "true", "CI_JOB_TIMEOUT": "86400"}, "20h", Status.OK, ""),
    ],
)
async def test_a_job_that_ends_before_the_loop_may(subject, environ, limits, status, mend):
    line = await one(machine.time_limit, subject(NOWHERE + f"limits: {{duration: {limits}}}\n", **environ))
    assert line.status is status
    assert mend in line.mend


async def test_no_job_no_limit(subject):
    assert await lines(machine.time_limit, subject()) == []


async def test_how_it_is_shown_without_a_loop(tmp_path):
    nobody = Subject(settings(tmp_path), SystemClock())
    assert [await lines(check, nobody) for check in (machine.tests, machine.time_limit)] == [[], []]
    assert (await one(machine.processes, nobody)).status is Status.OK
    assert (await one(machine.terminal, nobody)).status is Status.OK
