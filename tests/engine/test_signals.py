"""Tests of how a process is asked to stop; signals are sent to real ones."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from netra_loop.core.records import Batch
from netra_loop.engine.heard import Ears
from netra_loop.engine.signals import Stop, heeding, installed, unless_begun
from netra_loop.errors import Interrupted
from netra_loop.processes import identify
from netra_loop.testing import MemoryJournal
from netra_loop.testing.rows import head

CHILD = """
import asyncio, subprocess, sys
from netra_loop.engine.signals import Stop, installed

async def main():
    stop = Stop(lambda text: print(text, flush=True))
    with installed(stop):
        child = subprocess.Popen(["sleep", "60"], start_new_session=True)
        print(child.pid, flush=True)
        await stop.wait()
        if "stay" in sys.argv:
            await asyncio.sleep(60)
    child.kill()
    print("out of the block", flush=True)

asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def _hangups_mean_something() -> Iterator[None]:
    """Whoever started us may ignore SIGHUP (`nohup`); then whatever is started here would, too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


async def child(*words: str) -> tuple[asyncio.subprocess.Process, int]:
    """A process that waits for a signal, and the pid of its own child."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, *words), stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    return process, int(await line(process))


async def line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 20)).decode().rstrip()


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_the_first_signal_asks_and_is_named(kind):
    process, _ = await child()
    process.send_signal(kind)
    assert await line(process) == f"stopping ({kind.name}): no new work, what is known is being stored"
    assert await line(process) == "out of the block"
    assert await process.wait() == 0


async def test_the_second_signal_ends_everything_at_once():
    process, grandchild = await child("stay")
    process.send_signal(signal.SIGTERM)
    assert "SIGTERM" in await line(process)
    process.send_signal(signal.SIGINT)
    assert await process.wait() == 130
    assert identify(grandchild) is None


async def test_asking_twice_says_so_once():
    said: list[str] = []
    stop = Stop(said.append)
    stop.request("the budget of 5h is used up")
    stop.request("SIGINT")
    await stop.wait()
    assert (stop.why, len(said)) == ("the budget of 5h is used up", 1)


async def test_the_word_about_it_does_not_wait_for_a_busy_loop():
    said: list[str] = []
    stop = Stop(said.append)
    with installed(stop, Ears()):
        os.kill(os.getpid(), signal.SIGTERM)
        end = time.monotonic() + 20
        while not said and time.monotonic() < end:
            pass
        assert said == ["stopping (SIGTERM): no new work, what is known is being stored"]
        assert stop.why is None
        await asyncio.wait_for(stop.wait(), 20)
    assert (stop.why, len(said)) == ("SIGTERM", 1)


async def test_who_was_told_of_first_is_who_asked():
    said: list[str] = []
    stop = Stop(said.append)
    stop.tell("SIGINT")
    stop.request("the budget of 5h is used up")
    assert (stop.why, len(said)) == ("SIGINT", 1)


async def test_afterwards_signals_mean_what_they_meant():
    before = signal.getsignal(signal.SIGTERM)
    with installed(Stop(print)):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) == before


async def test_the_same_signal_passed_on_twice_at_once_is_one():
    """As by a terminal and a wrapper in it: both are there before either is seen."""
    process, grandchild = await child("stay")
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    assert "SIGINT" in await line(process)
    assert identify(process.pid) is not None
    process.kill()
    os.kill(grandchild, signal.SIGKILL)  # it has its output, too
    await process.wait()


async def test_whoever_asks_through_the_store_is_heeded():
    journal, stop = MemoryJournal(), Stop(lambda _text: None)
    await journal.create(head("one"), Batch())
    async with journal.own("one"), heeding(stop, journal, "one"):
        assert await journal.ask_to_stop("one")
        await asyncio.wait_for(stop.wait(), 20)
    assert stop.why == "netra-loop stop"


async def test_nobody_listens_once_the_block_is_left():
    journal, stop = MemoryJournal(), Stop(lambda _text: None)
    await journal.create(head("one"), Batch())
    async with journal.own("one"):
        async with heeding(stop, journal, "one"):
            pass
        await journal.ask_to_stop("one")
        await asyncio.sleep(0)
    assert stop.why is None


async def test_a_signal_that_came_before_the_block_asks_as_it_begins():
    ears, stop = Ears(), Stop(lambda _text: None)
    ears.first = signal.SIGTERM
    with installed(stop, ears):
        assert stop.why == "SIGTERM"


async def test_one_signal_ends_nothing_at_once_whoever_asked_before_it():
    """As a budget that is used up just before a runner cancels."""
    ears, stop = Ears(), Stop(lambda _text: None)
    with installed(stop, ears):
        stop.request("the budget of 1s is used up")
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        assert ears.first is signal.SIGTERM
    assert stop.why == "the budget of 1s is used up"


async def test_what_was_not_begun_yet_is_cancelled_and_cleans_up():
    ears, cleaned = Ears(), asyncio.Event()

    async def begin() -> None:
        with unless_begun(ears):
            os.kill(os.getpid(), signal.SIGHUP)
            try:
                await asyncio.Event().wait()
            finally:
                cleaned.set()

    ears.listen()
    try:
        with pytest.raises(Interrupted) as raised:
            await begin()
    finally:
        ears.close()
    assert cleaned.is_set()
    assert raised.value.exit_code == 129


async def test_once_a_session_is_begun_the_same_signal_is_a_request():
    ears, stop = Ears(), Stop(lambda _text: None)
    ears.listen()
    try:
        with unless_begun(ears), installed(stop, ears):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 20)
    finally:
        ears.close()
    assert stop.why == "SIGTERM"


async def test_between_a_signal_and_its_answer_a_session_may_begin_and_is_asked():
    ears, stop = Ears(), Stop(lambda _text: None)
    ears.listen()
    try:
        with unless_begun(ears):
            os.kill(os.getpid(), signal.SIGTERM)
            with installed(stop, ears):
                assert stop.why == "SIGTERM"
                await asyncio.sleep(0.01)  # whoever was told of it first has nothing to say any more
    finally:
        ears.close()


async def test_once_all_is_done_a_signal_changes_nothing():
    ears = Ears()
    ears.listen()
    try:
        with installed(Stop(lambda _text: None), ears):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert ears.first is signal.SIGTERM
    finally:
        ears.close()


async def test_a_hang_up_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ears = Ears()
    try:
        ears.listen()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        ears.close()
        signal.signal(signal.SIGHUP, before)
