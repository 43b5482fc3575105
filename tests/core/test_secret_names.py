"""Tests of which names speak of secrets."""

from __future__ import annotations

import pytest

from netra_loop.core.secret_names import names_secret, passwords_in


@pytest.mark.parametrize(
    "name",
    [
        *(
            "E2E_BYPASS_KEY",
            "JWT_SECRET",
            "api_key",
            "TOKEN",
            "GITHUB_TOKEN",
            "DBPASSWORD",
            "db_password",
            "PGPASSWORD",
        ),
        *("MY_PASSWORD_2", "SECRET_KEY_BASE", "DB_PWD", "apiKey", "accessToken", "APIKEY", "api-key", "CREDENTIALS"),
    ],
)
def test_a_name_that_says_secret(name):
    assert names_secret(name)


@pytest.mark.parametrize(
    "name",
    ["TOKEN_ENDPOINT", "KEY_PREFIX", "SECRET_NAME", "AWS_ACCESS_KEY_ID", "PASSWORD_LENGTH", "API_KEY_VERSION"],
)
def test_a_name_of_something_about_a_secret(name):
    assert not names_secret(name)


@pytest.mark.parametrize("name", ["API_KEY_STRIPE", "TOKEN_GITHUB", "PASSWORD_OF_BACKEND", "SECRET_SERVICE"])
def test_a_name_that_says_whose_secret(name):
    assert names_secret(name)


@pytest.mark.parametrize(
    "name", ["PATH", "PWD", "OLDPWD", "KEYBOARD", "MAX_TOKENS", "TOKEN_URL", "KEY_FILE", "MONKEY", "user", "TOKENIZER"]
)
def test_a_name_that_does_not(name):
    assert not names_secret(name)


def test_passwords_in_urls():
    assert [*passwords_in("postgresql://me:p%40ss@db/x and https://only-a-token@host/ and http://host/a@b")] == [
        *("p%40ss", "p@ss", "only-a-token")
    ]
