"""A loop without services over a plain folder of pytest tests."""

from __future__ import annotations

import pytest

LOOP = """
version: 1
name: plain
environments: {here: {cloud: none}}
tests: {paths: [../tests], workers: 4, timeout: 3s}
phases:
  select: {uses: select}
  execute: {uses: execute}
  record: {uses: record, next: {met: done, unmet: stop}}
goal: {authenticity: off}
"""


@pytest.fixture
def plain(project):
    (project.folder / "loops").mkdir()
    (project.folder / "tests").mkdir()
    (project.folder / "loops" / "plain.yaml").write_text(LOOP)

    def write(text, name="test_some.py"):
        (project.folder / "tests" / name).write_text(text)
        return project

    return write


def test_passing_tests_meet_the_goal(plain):
    project = plain("import pytest\n@pytest.mark.parametrize('n', range(20))\ndef test_n(n): print('n is', n)\n")
    done = project.call("run", "plain", "--plain")
    assert done.returncode == 0, done.stderr
    results = project.json("results", "latest")
    assert {result["id"] for result in results} == {f"tests/test_some.py::test_n[{n}]" for n in range(20)}
    assert {result["authenticity"] for result in results} == {"n/a"}


def test_each_outcome_is_told_as_pytest_means_it(plain):
    project = plain(
        "import os, time, pytest\n"
        "def test_passed(): pass\n"
        "def test_failed(): assert 1 == 2\n"
        "def test_skipped(): pytest.skip('why')\n"
        "@pytest.mark.xfail\ndef test_xfailed(): assert 0\n"
        "@pytest.mark.xfail\ndef test_xpassed(): pass\n"
        "@pytest.fixture\ndef broken(): raise ValueError('no')\n"
        "def test_error(broken): pass\n"
        "def test_timeout():\n    while True: time.sleep(60)\n"
        "def test_crashed(): os._exit(0)\n"
    )
    done = project.call("run", "plain", "--plain")
    assert done.returncode == 1, done.stderr
    told = {result["id"].rpartition("test_")[2]: result["outcome"] for result in project.json("results", "latest")}
    assert told == {outcome: outcome for outcome in told}
    assert len(told) == 8


def test_no_test_at_all_is_inconclusive(plain):
    project = plain("x = 1\n")
    assert project.call("run", "plain", "--plain").returncode == 1
    assert project.status()["state"] == "inconclusive"


def test_a_file_that_cannot_be_collected_is_never_a_pass(plain):
    plain("import no_such_module\n", "test_broken.py")
    project = plain("def test_fine(): pass\n")
    assert project.call("run", "plain", "--plain").returncode == 1
    assert project.status()["state"] == "unmet"
    assert any("no_such_module" in finding["title"] for finding in project.json("findings", "latest"))


def test_without_a_service_a_pass_cannot_be_authentic(plain):
    project = plain("def test_fine(): pass\n")
    loop = project.folder / "loops" / "plain.yaml"
    loop.write_text(loop.read_text().replace("authenticity: off", "authenticity: required"))
    assert project.call("run", "plain", "--plain").returncode == 1
    (result,) = project.json("results", "latest")
    assert (result["outcome"], result["authenticity"]) == ("passed", "fake")
