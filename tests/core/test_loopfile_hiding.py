"""Tests of a loop file's text without its secrets: it reads as before, and says none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core import loopfile
from netra_loop.core.loopfile.hiding import hidden_text
from netra_loop.core.redact import Redactor

SECRET = 'pa55 "w/ord é'
LOOP = """# {comment}
version: 1
name: some
vars: {{user: me, note: {note}, api_key: hunter2}}
tests:
  paths: [tests]
  env:
    A: &a {note}  # {comment}
    B: *a
    C: |
      a block
      with {plain}
    D: "${{env.D_SECRET:-fallback-value}} and ${{vars.user}}"
phases: {{select: {{uses: select}}, execute: {{uses: execute}}, record: {{uses: record}}}}
"""


def written(note: str, comment: str, plain: str) -> str:
    return LOOP.format(note=json.dumps(note, ensure_ascii=False), comment=comment, plain=plain)


def test_every_place_of_a_secret_is_hidden_and_the_rest_stays():
    text = written(SECRET, SECRET, SECRET)
    redactor = Redactor([SECRET, "fallback-value"])
    hidden = hidden_text(text, redactor)
    assert SECRET not in hidden
    assert json.dumps(SECRET)[1:-1] not in hidden
    assert "hunter2" not in hidden
    spec = loopfile.load(hidden, Path("some.yaml"))
    assert spec.vars == {"user": "me", "note": "[redacted]", "api_key": "[redacted]"}
    assert spec.tests is not None
    assert spec.tests.env == {
        "A": "[redacted]",
        "B": "[redacted]",
        "C": "a block\nwith [redacted]\n",
        "D": "${env.D_SECRET:-[redacted]} and ${vars.user}",
    }
    assert hidden_text(hidden, redactor) == hidden


def test_secrets_of_every_environment_are_hidden_and_those_of_services_named():
    text = """version: 1
name: some
environments:
  local: {cloud: embedded, secrets: {PEPPER: tiny, "DB-2": "${env.DB:-plain word}"}}
  staging: {cloud: embedded, secrets: {PEPPER: of-staging-alone}}
services: {backend: {source: ., command: [x], secrets: {PEPPER: "PEPPER:latest"}}}
tests: {paths: [tests]}
phases: {deploy: {uses: deploy}, select: {uses: select}, execute: {uses: execute}, record: {uses: record}}
"""
    hidden = hidden_text(text, Redactor())
    assert all(word not in hidden for word in ("tiny", "plain word", "of-staging-alone"))
    spec = loopfile.load(hidden, Path("some.yaml"))
    assert spec.environments["staging"].secrets == {"PEPPER": "[redacted]"}
    assert spec.environments["local"].secrets == {"PEPPER": "[redacted]", "DB-2": "${env.DB:-[redacted]}"}
    assert spec.services["backend"].secrets == {"PEPPER": "PEPPER:latest"}


def test_what_stands_beside_a_reference_stays_unless_chance_made_it():
    text = written("x", "y", "z").replace("hunter2", '"Bearer ${env.A}", w_token: "k9f8e7d6c5b4a3f2e1${env.A}"')
    spec = loopfile.load(hidden_text(text, Redactor()), Path("some.yaml"))
    assert spec.vars["api_key"] == "Bearer ${env.A}"
    assert spec.vars["w_token"] == "[redacted]${env.A}"


def test_a_text_without_secrets_is_the_very_same():
    text = written("x", "y", "z").replace(", api_key: hunter2", "").replace("D_SECRET", "D")
    assert hidden_text(text, Redactor(["open-sesame"])) == text


@pytest.mark.parametrize("name", ["tests", "select", "execute", "some", "version"])
def test_a_secret_that_is_also_a_word_of_the_file_does_not_break_it(name: str):
    text = written("x", "y", "z")
    read = loopfile.load(hidden_text(text, Redactor([name])), Path("some.yaml"))
    assert read.phases == loopfile.load(text, Path("some.yaml")).phases


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30),
    st.text("abc[]{}\"':#é ", max_size=30),
)
def test_whatever_the_values_it_can_be_read(note: str, plain: str):
    text = written(note, "c", plain)
    redactor = Redactor([note[:8], plain[:9], note[3:]])
    spec = loopfile.load(text, Path("some.yaml"))
    hidden = loopfile.load(hidden_text(text, redactor), Path("some.yaml"))
    assert hidden.phases == spec.phases
    assert hidden.vars["note"] == redactor.text(note)
