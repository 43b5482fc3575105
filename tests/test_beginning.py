"""What is known of a session's tests before it has begun."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from netra_loop.beginning import Options, first_collection, prepare
from netra_loop.errors import UsageError
from netra_loop.settings import Settings

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
PHASES = "phases: {select: {uses: select}, execute: {uses: execute}}"


def known(folder: Path, *lines: str, phases: str = PHASES, **options):
    path = folder / "night.yaml"
    path.write_text("\n".join(("version: 1", "name: night", "environments: {here: {cloud: none}}", *lines, phases)))
    settings = Settings({"HOME": "/home/me", "NETRA_LOOP_TOKEN": "outer"}, None, False, folder)
    return first_collection(prepare(path, Options(**options), NOW), settings)


def test_all_is_known_where_the_collection_comes_first(tmp_path):
    made = known(tmp_path, "tests: {paths: [t], env: {WHO: '${vars.who}'}}", "vars: {who: me}", session_name="n-1")
    assert made is not None
    assert made.paths == ("t",)
    assert made.testrun_uid == "n-1"
    told = {"NETRA_LOOP_SESSION": "n-1", "NETRA_LOOP_ITERATION": "1", "NETRA_LOOP_ENV": "here", "WHO": "me"}
    assert dict(made.env) == {"HOME": "/home/me", **told}


def test_the_command_lines_variables_count(tmp_path):
    made = known(tmp_path, "tests: {paths: [t], env: {WHO: '${vars.who}'}}", "vars: {who: me}", vars={"who": "you"})
    assert made is not None
    assert made.env["WHO"] == "you"


@pytest.mark.parametrize("first", ["run: {uses: run, with: {command: make}}", "deploy: {uses: deploy}"])
def test_a_phase_before_it_may_change_what_is_collected(tmp_path, first):
    service = "services: {api: {source: ., command: run}}"
    phases = f"phases: {{{first}, select: {{uses: select}}, execute: {{uses: execute}}}}"
    assert known(tmp_path, "tests: {paths: [t]}", service, phases=phases) is None


def test_what_git_says_is_not_known_yet(tmp_path):
    assert known(tmp_path, "tests: {paths: [t], env: {SHA: '${git.sha}'}}") is None


def test_a_loop_without_tests_collects_nothing(tmp_path):
    journey = "journeys: {hello: {steps: [{request: {method: GET, url: 'http://here/'}}]}}"
    assert known(tmp_path, journey) is None


def test_what_was_asked_for_is_refused_before_anything_is_touched(tmp_path):
    with pytest.raises(UsageError, match="no environment"):
        known(tmp_path, "tests: {paths: [t]}", environment="there")
    with pytest.raises(UsageError, match="no tier"):
        known(tmp_path, "tests: {paths: [t]}", only="smoke")
    assert [path.name for path in tmp_path.iterdir()] == ["night.yaml"]
