"""Tests of what the environment says."""

import shlex

import pytest

from netra_loop import settings


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("NETRA_LOOP_STORE", "CI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_without_anything_set_there_is_no_store_and_no_ci(here):
    found = settings.read()
    assert (found.store, found.ci, found.cwd) == (None, False, here)


def test_the_command_line_wins_over_the_environment(here, monkeypatch):
    monkeypatch.setenv("NETRA_LOOP_STORE", "sqlite:///env.db")
    assert settings.read().store == "sqlite:///env.db"
    assert settings.read("sqlite:///cli.db").store == "sqlite:///cli.db"


@pytest.mark.parametrize(("value", "ci"), [("true", True), ("1", True), ("0", False), ("False", False), ("", False)])
def test_ci_is_what_ci_systems_say(here, monkeypatch, value, ci):
    monkeypatch.setenv("CI", value)
    assert settings.read().ci is ci


def test_later_changes_of_the_environment_are_not_seen(here, monkeypatch):
    found = settings.read()
    monkeypatch.setenv("LATER", "x")
    assert "LATER" not in found.environ


def test_the_store_lies_beside_the_nearest_loops(here):
    (here / "loops" / "golden-path").mkdir(parents=True)
    (here / "src" / "deep").mkdir(parents=True)
    found = settings.read()
    for start in (None, here / "loops", here / "loops" / "golden-path", here / "src" / "deep"):
        assert found.state_dir(start) == here / ".netra-loop"


def test_loops_win_over_a_store_left_on_the_way(here):
    (here / "loops").mkdir()
    (here / "src" / ".netra-loop").mkdir(parents=True)
    assert settings.read().state_dir(here / "src") == here / ".netra-loop"


def test_without_loops_a_store_that_is_there_is_used(here):
    (here / ".netra-loop").mkdir()
    (here / "src").mkdir()
    assert settings.read().state_dir(here / "src") == here / ".netra-loop"


def test_with_neither_it_is_made_where_one_stands(here):
    assert settings.read().state_dir() == here / ".netra-loop"


@pytest.mark.parametrize(
    ("store", "shown"),
    [
        ("postgresql://me:s3cr3t@h:5432/db", "postgresql://me:***@h:5432/db"),
        ("postgres://me:s3@cr/3t@h/db?password=s3cr3t&x=y", "postgres://me:***@h/db?password=***&x=y"),
        ("postgresql://me@h:5432/db", "postgresql://me@h:5432/db"),
        ("postgresql:///db?host=/tmp&sslpassword=s3cr3t", "postgresql:///db?host=/tmp&sslpassword=***"),
        ("/home/me:you@there/journal.db", "/home/me:you@there/journal.db"),
    ],
)
def test_the_command_to_type_next_shows_no_password(here, store, shown):
    told = settings.read(store).command()
    assert shlex.split(told) == ["netra-loop", "--store", shown]


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("postgresql://me:needle@h:1/db?sslmode=require", "postgresql://me@h:1/db?sslmode=require"),
        ("postgresql://me:nee%40dle@h/db", "postgresql://me@h/db"),
        ("postgresql://me@h/db?password=needle", "postgresql://me@h/db"),
        ("postgresql://me@h/db?password=needle&sslmode=require", "postgresql://me@h/db?sslmode=require"),
        ("postgresql://me@h/db?sslmode=require&password=needle", "postgresql://me@h/db?sslmode=require"),
        ("postgresql://me@h/db", "postgresql://me@h/db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
    ],
)
def test_the_stores_password_is_for_nobody_who_is_started(here, monkeypatch, store, told):
    monkeypatch.setenv("NETRA_LOOP_STORE", store)
    found = settings.read()
    assert (found.store, found.environ["NETRA_LOOP_STORE"], found.command()) == (store, told, "netra-loop")


def test_a_stores_password_is_known_as_it_is_written_and_meant():
    assert settings.passwords_of("postgresql://me:nee%40dle@h/db?password=other") == ("nee%40dle", "other", "nee@dle")
    assert settings.passwords_of("postgresql://me@h/db") == settings.passwords_of(None) == ()
