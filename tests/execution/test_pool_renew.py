"""A token renewed while tests run: what follows is given the new one, down to what modules read at import."""

from __future__ import annotations

import dataclasses

import pytest

from netra_loop.errors import EnvironmentFailed
from netra_loop.execution.base import Finished, Planned, Started

SUITE = """
    import os, pathlib, time, pytest
    AT_IMPORT = os.environ["TOKEN"]
    @pytest.fixture(scope="session")
    def in_session(): return os.environ["TOKEN"]
    @pytest.mark.parametrize("n", range(6))
    def test_it(n, in_session):
        print(AT_IMPORT, in_session, os.environ["TOKEN"])
        gate = pathlib.Path("gate")
        while n == 0 and not gate.exists():
            time.sleep(0.01)
"""


@pytest.mark.parametrize("more", [{}, {"isolation": "test"}, {"spawned": True}], ids=["forked", "alone", "spawned"])
async def test_what_follows_a_renewal_knows_nothing_of_the_old_token(suite, more) -> None:
    text = SUITE
    if more.pop("spawned", False):
        text += "    import threading; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    suite.write(test_it=text)
    pool = suite.pool(workers=1, **with_token(suite, "old"), **more)
    tests = [test.id for test in (await pool.collect()).tests]
    said = []
    async for event in pool.run([Planned(test, 1, f"{number:032x}") for number, test in enumerate(tests, 1)]):
        if isinstance(event, Started) and event.id.endswith("[0]"):
            await pool.renew(with_token(suite, "new")["env"])
            (suite.root / "gate").touch()
        if isinstance(event, Finished):
            said.append((event.id[-3:], str(event.outcome), event.output.split()[-3:]))
    assert said[0] == ("[0]", "passed", ["old"] * 3)
    assert said[1:] == [(f"[{n}]", "passed", ["new"] * 3) for n in range(1, 6)]


async def test_all_goes_on_as_it_was_where_the_tests_cannot_be_collected_anew(suite) -> None:
    suite.write(test_it="import os\ndef test_a(): print(os.environ['TOKEN'])\ndef test_b(): pass\n")
    pool = suite.pool(workers=1, **with_token(suite, "old"))
    await pool.collect()
    suite.write(test_it="def test_b(): pass\n")
    with pytest.raises(EnvironmentFailed, match="test_a' was not found"):
        await pool.renew(with_token(suite, "new")["env"])
    events = [event async for event in pool.run([Planned("test_it.py::test_a", 1, "1" * 32)])]
    (finished,) = (event for event in events if isinstance(event, Finished))
    assert finished.output.split()[-1] == "old"


async def test_the_processes_of_earlier_tokens_are_not_kept(suite) -> None:
    suite.write(test_it="def test_a(): pass\n")
    pool = suite.pool(workers=1, **with_token(suite, "0"))
    await pool.collect()
    for number in range(1, 4):
        await pool.renew(with_token(suite, str(number))["env"])
    assert len(pool._dead) == 1  # the first, which ends with the pool


def with_token(suite, token: str) -> dict[str, dict[str, str]]:
    return {"env": {**dataclasses.asdict(suite.options())["env"], "TOKEN": token}}
