import sqlite3
from collections.abc import Iterator
from operator import methodcaller
from pathlib import Path

import pytest

from netra_loop.journal import tables as t
from netra_loop.journal.sql import SqliteConnection, translated

NOTES = t.Table("notes", (t.text("id"), t.text("said", null=True)), key=("id",))


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    made = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    made.execute("PRAGMA journal_mode=WAL")
    made.text_factory = methodcaller("decode", "utf-8", "surrogateescape")
    for statement in NOTES.making({}):
        made.execute(statement)
    yield made
    made.close()


def stored(driver: sqlite3.Connection) -> list[tuple[str, ...]]:
    return driver.execute("SELECT id, said FROM notes ORDER BY rowid").fetchall()


@pytest.mark.parametrize("number", [0, 1, 49, 50, 51, 120])
def test_however_many_rows_are_stored_in_their_order(driver: sqlite3.Connection, number: int):
    rows = [(f"n{one}", "x") for one in range(number)]
    SqliteConnection(driver).many(NOTES.upsert, iter(rows))
    assert stored(driver) == rows


def test_the_last_of_several_rows_of_one_key_counts(driver: sqlite3.Connection):
    SqliteConnection(driver).many(NOTES.upsert, [(f"n{one % 3}", str(one)) for one in range(60)])
    assert stored(driver) == [("n0", "57"), ("n1", "58"), ("n2", "59")]


def test_what_is_no_insert_is_said_of_each_row(driver: sqlite3.Connection):
    connection = SqliteConnection(driver)
    connection.many(NOTES.insert, [(f"n{one}", None) for one in range(70)])
    connection.many(NOTES.update(("said",), "WHERE id = ?"), [(str(one), f"n{one}") for one in range(70)])
    assert stored(driver) == [(f"n{one}", str(one)) for one in range(70)]


def test_a_block_that_raises_leaves_nothing(driver: sqlite3.Connection):
    connection = SqliteConnection(driver)

    def work() -> None:
        with connection.transaction("BEGIN IMMEDIATE"):
            connection.run(NOTES.insert, ("n", "x"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert (stored(driver), driver.in_transaction) == ([], False)


def test_whoever_stops_in_the_middle_of_an_answer_sees_what_comes_later(driver: sqlite3.Connection, tmp_path: Path):
    connection = SqliteConnection(driver)
    connection.many(NOTES.insert, [("a", "1"), ("b", "2")])
    with connection.transaction():
        begun = connection.rows("SELECT id FROM notes ORDER BY id")
        assert next(begun) == ("a",)
    other = sqlite3.connect(tmp_path / "some.db", isolation_level=None)
    other.execute("INSERT INTO notes VALUES ('c', '3')")
    other.close()
    with connection.transaction():
        assert connection.scalar("SELECT count(*) FROM notes") == 3


def test_a_flipped_byte_reaches_whoever_checks(driver: sqlite3.Connection):
    driver.execute("INSERT INTO notes VALUES ('n', CAST(x'61ff62' AS TEXT))")
    connection = SqliteConnection(driver)
    asked = "SELECT said FROM notes"
    assert connection.all(asked) == [("a\udcffb",)]
    assert connection.first(asked) == ("a\udcffb",)
    assert list(connection.rows(asked)) == [("a\udcffb",)]


def test_a_flipped_byte_far_behind_gives_every_row_once(driver: sqlite3.Connection):
    rows = [(f"n{one:02d}", "x") for one in range(25)]
    SqliteConnection(driver).many(NOTES.insert, rows)
    driver.execute("UPDATE notes SET said = CAST(x'61ff62' AS TEXT) WHERE id = 'n23'")
    found = list(SqliteConnection(driver).rows("SELECT id, said FROM notes ORDER BY id"))
    assert found == [*rows[:23], ("n23", "a\udcffb"), rows[24]]


def test_an_error_of_sqlite_s_own_is_raised(driver: sqlite3.Connection):
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        SqliteConnection(driver).all("SELECT 1 FROM nowhere")


def test_a_statement_as_psycopg_takes_it():
    assert translated("SELECT '%' WHERE a = ? AND b LIKE ?") == b"SELECT '%%' WHERE a = %s AND b LIKE %s"
