"""Tests of `netra-loop doctor` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netra_loop.cli.boundary import _run

LOOP = "version: 1\nname: n\nenvironments: {here: {cloud: none}}\nphases: {select: {uses: select}}\n"


@pytest.fixture
def typed(tmp_path: Path, monkeypatch, capsys):
    (tmp_path / "loops").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETRA_LOOP_STORE", raising=False)

    def call(text: str, *words: str) -> tuple[int, str, str]:
        tests = "" if "tests:" in text else "tests: {paths: [t]}\n"
        (tmp_path / "loops" / "n.yaml").write_text(LOOP + text + tests)
        code = _run(["doctor", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_all_is_well(typed):
    code, out, _ = typed("", "n")
    assert code == 0
    assert all(line.startswith(("ok ", "warn", "      ->")) for line in out.splitlines())


def test_what_fails_is_told_with_what_mends_it(typed):
    code, out, _ = typed("tests: {paths: [t], python: /nowhere/python}\n", "n")
    assert code == 3
    failed = out.splitlines().index("fail  tests' interpreter: the tests' interpreter '/nowhere/python' was not found")
    assert out.splitlines()[failed + 1].startswith("      -> mend tests.python in n.yaml")


def test_json_is_one_object_a_line(typed):
    code, out, _ = typed("", "n", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert all(set(row) == {"check", "status", "detail", "mend"} for row in rows)


@pytest.mark.parametrize("words", [("n",), ("nowhere",), ("n", "--var", "x"), ("n", "--env", "mars")])
def test_what_is_wrong_with_the_call_or_the_loop(typed, words):
    code, _, err = typed("servcies: {}\n" if words == ("n",) else "", *words)
    assert code == 2
    assert err.startswith("error: ")
