"""Tests of which values are secrets everywhere, and which only where their name says so."""

from __future__ import annotations

import json

import pytest

from netra_loop.core.secret_values import Secret, Secrets, redactor_of, telling, words_of


@pytest.mark.parametrize(
    "value",
    [
        "hunter2-or-3",
        "9f8e7d6c",
        "correct horse battery",
        "abcdefghijklmnop",
        "Summer2024",
        "4929123456781234",
        "a/b+c=d9",
    ],
)
def test_a_value_like_no_word_is_hidden_everywhere(value: str):
    assert telling(value)


@pytest.mark.parametrize(
    "value",
    ["backend", "postgres", "Production", "DEVELOPMENT", "tiny", "a1b2c3", "20261121", "--------", "", "0000000000"],
)
def test_a_plain_value_is_not(value: str):
    assert not telling(value)


def test_nor_is_one_that_the_loop_has_for_something_else():
    words = words_of(["staging-e2e-user-001", "https://netra_app:pw@auth.example.com:8443/v1/golden-path?x=y-z-key1"])
    for word in ("staging-e2e-user-001", "auth.example.com", "golden-path", "Golden-Path", "netra_app"):
        assert not telling(word, words)
    for other in ("staging-e2e-user-002", "x=y-z-key1", "pw"):
        assert other not in words


def test_texts_of_another_form_say_no_words_nor_does_what_chance_made():
    assert words_of(['{"password": "open-sesame"}', "PASSWORD=open-sesame", "two open-sesame words"]) == frozenset()
    assert words_of(["a1b2c3d4e5f6a7b8c9d0"]) == frozenset()


def test_a_plain_secret_is_hidden_in_its_place_and_no_session_is():
    secrets = Secrets(
        [Secret("a", "backend", ("DB_PASSWORD", "DB_PWD")), Secret("b", "open-sesame-1", ("KEY",))],
        kept=["my-open-sesame-1"],
    )
    there = redactor_of(json.loads(json.dumps(secrets.told("learnt-since-9", "plain"))))
    for one in (there, secrets.redactor("learnt-since-9", "plain")):
        said = one.text("resume my-open-sesame-1 of backend, DB_PWD=backend, open-sesame-1, learnt-since-9, plain")
        assert said == "resume my-open-sesame-1 of backend, DB_PWD=[redacted], [redacted], [redacted], plain"
    assert [secret.label for secret in secrets.in_their_place_only()] == ["a"]
    assert "open-sesame" not in repr(secrets.known)
