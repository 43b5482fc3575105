"""Tests of what is said where no more files can be opened."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from netra_loop import processes
from netra_loop.core.records import Batch
from netra_loop.errors import EnvironmentFailed, StoreError, TooManyOpenFiles
from netra_loop.journal.store import open_store
from netra_loop.open_files import behind, exhausted
from netra_loop.testing.rows import head

OF_PROCESS = OSError(errno.EMFILE, "Too many open files", "/srv/a.db")


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


def opened() -> set[int]:
    return {int(one.name) for one in Path("/proc/self/fd").iterdir()}


@contextmanager
def room_for(files: int) -> Iterator[None]:
    """This process can open so many more files, and not one beyond them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened()) + 2, hard))
    held: list[int] = []
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for one in held[:files]:
            os.close(one)
        del held[:files]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in held:
            os.close(one)


@pytest.mark.parametrize(
    "error",
    [
        OF_PROCESS,
        caused(EnvironmentFailed("'sh' cannot be started"), OF_PROCESS),
        ExceptionGroup("two tasks", [ValueError("another"), OF_PROCESS]),
        caused(EnvironmentFailed("'sh' cannot be started"), ExceptionGroup("a task", [OF_PROCESS])),
        ImportError("libz.so.1: cannot open shared object file: Too many open files"),
    ],
)
def test_it_is_known_whatever_it_became(error):
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    found = behind(error)
    assert isinstance(found, TooManyOpenFiles)
    assert (found.limit, found.exit_code) == (soft, 3)


@pytest.mark.parametrize("error", [OSError(errno.ENOENT, "x"), EnvironmentFailed("x"), ImportError("no module 'x'")])
def test_everything_else_is_left_to_be_what_it_is(error):
    assert behind(error) is None


def test_what_was_said_already_is_not_said_anew():
    told = caused(TooManyOpenFiles(24, None, then="netra-loop resume a-1"), OF_PROCESS)
    assert behind(told) is told


def test_it_says_what_could_not_be_done():
    assert "it came up at: '/srv/a.db'" in str(behind(OF_PROCESS))
    assert "it came up at: 'sh' cannot" in str(behind(caused(EnvironmentFailed("'sh' cannot be started"), OF_PROCESS)))


@pytest.mark.parametrize(
    ("limit", "most", "found", "hint"),
    [
        (24, 4096, "may have 24 open at once, expected 1024 or more", "ulimit -n 1024"),
        (24, None, "may have 24 open at once, expected 1024 or more", "ulimit -n 1024"),
        (1024, 4096, "may have 1024 open at once, expected 4096 or more", "ulimit -n 4096"),
        (
            24,
            24,
            "may have 24 open at once",
            "ulimit -n 1024 (as root, or in another shell: the hard limit of this one is 24)",
        ),
    ],
)
def test_it_says_the_limit_and_what_to_type(limit, most, found, hint):
    error = TooManyOpenFiles(limit, most)
    assert found in str(error)
    assert error.hint == hint


def test_a_whole_system_that_has_too_many_is_another_thing():
    error = behind(OSError(errno.ENFILE, "Too many open files in system"), then="netra-loop resume a-1")
    assert error.limit is None
    assert "in the whole system" in str(error)
    assert error.hint.endswith("cat /proc/sys/fs/file-nr, then: netra-loop resume a-1")


@pytest.mark.parametrize("files", [0, 1])
def test_who_may_open_no_more_than_one_has_no_room_for_a_store(files):
    with room_for(files):
        refused = exhausted()
    assert refused.errno == errno.EMFILE


def test_where_there_is_room_nothing_stays_open():
    before = opened()
    assert exhausted() is None
    assert opened() == before


async def test_a_store_that_cannot_be_opened_for_it_is_told_from_one_that_is_not_ours(tmp_path):
    async def begun(files):
        journal = open_store(str(tmp_path / str(files) / "journal.db"))
        try:
            with room_for(files):
                await journal.create(head(), Batch())
        except (OSError, StoreError) as error:
            return error
        finally:
            await journal.close()

    refused = [error for error in [await begun(files) for files in range(12)] if error is not None]
    assert [error for error in refused if behind(error) is None] == []
    assert "cannot be opened: Too many open files" in " ".join(map(str, refused))


def test_a_process_that_cannot_be_looked_at_for_it_is_not_taken_for_gone():
    with room_for(0), pytest.raises(OSError, match="Too many open files") as caught:
        processes.identify(os.getpid())
    assert behind(caught.value) is not None
