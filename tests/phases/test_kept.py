"""Tests of what a session keeps of what it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from netra_loop.core import events as ev
from netra_loop.core.records import Batch
from netra_loop.core.redact import MARK, Redactor
from netra_loop.errors import UsageError
from netra_loop.phases.kept import (
    agree,
    check_given,
    check_whole,
    hiding,
    kept_again,
    kept_text,
    kept_vars,
    stood_hidden,
)

PATH = Path("/p/loops/some.yaml")
TEXT = """version: 1
name: some
tests: {paths: [tests], timeout: 10s}
phases: {select: {uses: select}, execute: {uses: execute}, say: {uses: run, with: {command: echo open-sesame}}}
"""


def test_variables_whose_name_or_value_is_secret_are_marked():
    given = {"api_key": "x", "user": "me", "where": "postgres://me:pw@host/", "said": "it is open-sesame"}
    kept = kept_vars(given, Redactor(["open-sesame"]))
    assert kept == {"api_key": MARK, "user": "me", "where": MARK, "said": MARK}
    with pytest.raises(UsageError, match="given values of api_key, where, said that are secrets") as caught:
        check_given("some-1", kept, {"user": "you"}, "netra-loop")
    assert "first set API_KEY to the value of api_key, and set VALUE_OF_WHERE to" in str(caught.value)
    assert caught.value.hint == (
        'netra-loop resume some-1 --var api_key="$API_KEY" --var where="$VALUE_OF_WHERE" --var said="$VALUE_OF_SAID"'
    )
    check_given("some-1", kept, given, "netra-loop")


def test_a_variable_of_the_shell_that_is_not_set_gives_no_empty_secret():
    with pytest.raises(UsageError, match="api_key is empty now: first set API_KEY"):
        check_given("some-1", {"api_key": MARK}, {"api_key": ""}, "netra-loop")
    assert kept_vars({"api_key": ""}, Redactor()) == {"api_key": ""}  # nothing is no secret: it need not be given again


def test_what_was_a_secret_when_it_was_stored_is_one_still():
    assert kept_again({"said": MARK}, {"said": "it is open-sesame", "user": "me"}, Redactor()) == {
        "said": MARK,
        "user": "me",
    }


def test_what_was_hidden_agrees_with_whatever_is_there_now():
    stored = {"env": {"A": f"x {MARK} y {MARK}", "B": "b"}, "command": ["run", MARK], "port": 8080}
    now = {"env": {"A": "x one y two", "B": "b"}, "command": ["run", "three"], "port": 8080}
    assert agree(stored, now)
    assert [*stood_hidden(stored, now)] == ["one", "two", "three"]
    for other in ({**now, "port": 9090}, {**now, "command": ["run"]}, {**now, "env": {"A": "x one", "B": "b"}}, {}):
        assert not agree(stored, other)
    assert not agree(now, stored)  # only of what was stored something may be missing


def test_the_text_is_kept_without_its_secrets_and_can_be_read():
    kept = kept_text(TEXT, PATH, Redactor(["open-sesame"]))
    assert "open-sesame" not in kept
    assert kept_text(kept, PATH, Redactor(["open-sesame"])) == kept
    assert kept_text(TEXT, PATH, Redactor()) is not None
    with pytest.raises(UsageError, match="is gone, and what is stored of it does not have its secrets"):
        check_whole(kept, PATH, "some-1", "netra-loop")
    check_whole(TEXT, PATH, "some-1", "netra-loop")


def test_a_secret_that_the_loop_needs_for_something_else_is_refused():
    with pytest.raises(UsageError, match="line 3, column"):
        kept_text(TEXT.replace("10s", "2000000s"), PATH, Redactor(["2000000s"]))


def test_the_last_look_is_at_free_text_alone():
    noted = ev.Noted(text="it said open-sesame")
    ready = ev.RevisionReady(service="open-sesame", revision="r", url="http://u", ws_url="ws://u")
    ended = ev.PhaseFinished(outcome="ok", target="open-sesame", summary="Authorization: Bearer abc")
    hidden = hiding(lambda: Redactor(["open-sesame"]))(Batch(events=(noted, ready, ended)))
    assert hidden.events[0] == ev.Noted(text=f"it said {MARK}")
    assert hidden.events[1] is ready
    assert hidden.events[2] == ev.PhaseFinished(
        outcome="ok", target="open-sesame", summary=f"Authorization: Bearer {MARK}"
    )
    same = Batch(events=(ready,))
    assert hiding(Redactor)(same) is same
