"""What `bisect` makes of a session's results alone, and how a test is named to it."""

import asyncio
import json
import threading

import pytest

from netra_loop.cli.boundary import _run
from netra_loop.cli.hunting import Asked, by_running
from netra_loop.core.bisecting import Hunt, Step
from netra_loop.core.events import PhaseFinished, PhaseStarted, RevisionReady, SessionStarted
from netra_loop.core.records import Authenticity, Batch, Outcome, Revision
from netra_loop.core.state import State
from netra_loop.journal.store import open_store
from netra_loop.phases.probing import Probe
from netra_loop.testing.rows import head, result

STARTED = SessionStarted(loop="l", loop_file="l.yaml", loop_text="", environment="here", first_phase="deploy")
OUTCOMES = {"+": Outcome.PASSED, "-": Outcome.FAILED, "?": Outcome.SKIPPED}


def iteration(number):
    where = {"iteration": number, "phase": "deploy", "attempt": 1}
    name = f"backend-{number:05d}"
    yield PhaseStarted(uses="deploy", **where)
    yield RevisionReady(service="backend", revision=name, url=f"http://{name}", ws_url=f"ws://{name}", **where)
    yield PhaseFinished(outcome="ok", target="deploy", **where)


async def stored(tmp_path, signs):
    """The URL of a store with a session whose iterations ended two tests like this."""
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    store = open_store(url)
    async with store.own("golden-1"):
        await store.create(head(iteration=0), Batch(events=(STARTED,)))
        for number, sign in enumerate(signs, 1):
            seen = Authenticity.REAL if sign == "+" else Authenticity.NOT_APPLICABLE
            known = {"iteration": number, "outcome": OUTCOMES[sign], "authenticity": seen}
            rows = (result("t.py::test_flow", **known), result("t.py::test_flow_twice", **known))
            batch = Batch(events=tuple(iteration(number)), results=rows)
            await store.append("golden-1", batch, head(iteration=number))
    await store.close()
    return url


@pytest.fixture
def ask(tmp_path, capsys):
    """Asks `bisect` for a test of a session that went like this: the exit code, stdout and stderr."""

    def ask(signs, *words):
        url = asyncio.run(stored(tmp_path, signs))
        code = _run(["bisect", "--store", url, "latest", *words])
        out = capsys.readouterr()
        return code, out.out, out.err

    return ask


def test_neighbours_need_no_run(ask):
    code, out, _ = ask("++-", "test_flow", "--no-run")
    assert (code, out.splitlines()[0]) == (0, "iteration 3 broke t.py::test_flow: revision backend-00003")
    assert "is not known: the loop has no workspace" in out


def test_what_the_results_leave_open_is_told(ask):
    code, out, _ = ask("+?-", "t.py::test_flow", "--no-run", "--json")
    told = json.loads(out)
    assert (code, told["found"], told["suspects"], told["good"]) == (1, None, [2, 3], 1)
    assert told["reason"] == "the results alone leave iterations 2, 3: without --no-run they are tried"


def test_a_test_that_never_failed_is_not_run(ask):
    code, out, _ = ask("++", "test_flow")
    assert (code, out) == (1, "not found: t.py::test_flow: it failed in no iteration that counts\n")


def test_what_broke_again_is_told(ask):
    _, out, _ = ask("+-+-", "test_flow", "--no-run")
    assert out.endswith("it passed again later, and broke once more in iteration 4\n")


@pytest.mark.parametrize(("test", "why"), [("flow", "could mean 2 tests"), ("test_other", "has no test 'test_other'")])
def test_a_test_is_named_by_a_part_that_no_other_has(ask, test, why):
    code, _, err = ask("+-", test)
    assert (code, why in err) == (2, True)


def test_a_session_that_is_at_work_is_let_be(tmp_path, capsys):
    """Its owner has the embedded cloud in his hands."""
    url, taken, done = asyncio.run(stored(tmp_path, "+-")), threading.Event(), threading.Event()

    async def hold():
        store = open_store(url)
        async with store.own("golden-1"):
            taken.set()
            await asyncio.to_thread(done.wait, 60)
        await store.close()

    owner = threading.Thread(target=lambda: asyncio.run(hold()))
    owner.start()
    taken.wait(60)
    code = _run(["bisect", "--store", url, "latest", "test_flow"])
    done.set()
    owner.join()
    assert (code, "is held by process" in capsys.readouterr().err) == (5, True)


def probes(passed):
    """What is found where probes of iterations turn out like this."""
    at = [
        Step((number,), {"backend": Revision("backend", f"backend-{number}", "http://b", "ws://b")})
        for number in (1, 2, 3)
    ]
    hunt = Hunt(at[0], at[2], (at[1],))
    asked = Asked(head(), "t.py::test_flow", State(), at, hunt)

    async def probe(step):
        return Probe(step, passed[step.iteration], "it was skipped")

    asyncio.run(by_running(asked, hunt, probe))
    return asked


@pytest.mark.parametrize(("middle", "found"), [(True, 3), (False, 2)])
def test_both_ends_are_seen_to_be_as_they_were_and_then_the_middle_tells(middle, found):
    asked = probes({1: True, 2: middle, 3: False})
    assert [one.step.iteration for one in asked.probes] == [1, 3, 2]
    assert (asked.found.iteration, asked.good.iteration) == (found, found - 1)


@pytest.mark.parametrize(
    ("passed", "why"),
    [
        ({1: False}, "it passed in iteration 1 and fails against the same revision now"),
        ({1: True, 3: True}, "it failed in iteration 3 and passes against the same revision now"),
        ({1: None}, "iteration 1, where it passed, cannot be judged any more: it was skipped"),
        ({1: True, 2: None, 3: False}, "it was one of iterations 2, 3"),
    ],
)
def test_what_is_not_to_be_reproduced_is_told_and_not_guessed(passed, why):
    asked = probes(passed)
    assert asked.found is None
    assert why in asked.why
