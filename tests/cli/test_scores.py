"""What people are told of fixers' claims and of what a session waits for."""

import sys
from dataclasses import replace

import pytest

from netra_loop.cli.scores import scores_of
from netra_loop.cli.view import view_of
from netra_loop.core.events import (
    Committed,
    FixerRan,
    PhaseFinished,
    PhaseStarted,
    SessionStarted,
    WaitBegan,
    WorkspaceMade,
)
from netra_loop.core.records import Batch, Claim
from netra_loop.core.state import fold
from netra_loop.report import render
from netra_loop.testing import MemoryJournal
from netra_loop.testing.rows import finding, head

STARTED = SessionStarted(loop="l", loop_file="l.yaml", loop_text="", environment="here", first_phase="fix")


def ran(iteration, name, *claims):
    where = {"iteration": iteration, "phase": name, "attempt": 1}
    yield PhaseStarted(uses="run", **where)
    yield FixerRan(exit_code=0, claims=claims, **where)
    yield PhaseFinished(outcome="ok", target="fix", **where)


@pytest.fixture
async def store():
    """Two fixers over two iterations: one claim verified, one refuted, one not judged; what was mended is not among the
    newest findings.
    """
    journal, mended, still = MemoryJournal(), finding("F-1"), finding("F-2")
    claim = Claim(1, "claimed", None)
    async with journal.own("golden-1"):
        await journal.create(head(iteration=2), Batch(events=(STARTED,)))
        first = (replace(mended, claims=(claim,)), replace(still, claims=(claim,)))
        await journal.append("golden-1", Batch(events=(*ran(1, "robot", "F-1"), *ran(1, "person", "F-2"))))
        await journal.append("golden-1", Batch(findings=first, findings_iteration=1))
        judged = replace(mended, claims=(Claim(1, "verified", "r-2"),))
        failed = replace(still, claims=(Claim(1, "refuted", "r-2"), Claim(2, "claimed", None)))
        await journal.append("golden-1", Batch(events=tuple(ran(2, "person", "F-2"))))
        await journal.append("golden-1", Batch(findings=(judged, failed), findings_iteration=2))
        where = {"iteration": 3, "phase": "hold", "attempt": 1}
        began = WaitBegan(what="commit", told="a new commit on main", known={"main": "c0"}, brief="/b.md", **where)
        await journal.append("golden-1", Batch(events=(PhaseStarted(uses="wait", **where), began)))
        await journal.append("golden-1", Batch(findings=(failed,), findings_iteration=3))
        yield journal


async def test_each_fixer_s_claims_are_counted_as_they_turned_out(store):
    state = fold(await store.events("golden-1"))
    assert await scores_of(store, await store.find("golden-1"), state) == {
        "robot": "1 of 1 claims verified",
        "person": "0 of 1 claims verified, 1 not judged yet",
    }


async def test_each_commit_is_told_with_what_came_of_its_claims_and_where_it_is(store, capsys):
    made = WorkspaceMade(how="copy", home="/p", root="/p/ws", branch="netra-loop/x", base="b" * 40)
    right = Committed(iteration=1, commit="1" * 40, parent="", tree="", subject="Mend it", findings=("F-1",))
    wrong = Committed(iteration=1, commit="2" * 40, parent="", tree="", subject="Guess", findings=("F-2",))
    none = Committed(iteration=2, commit="3" * 40, parent="", tree="", subject="Tidy")
    await store.append("golden-1", Batch(events=(made, right, wrong, none)))
    view = await view_of(store, await store.find("golden-1"))
    assert view.commits == (
        "111111111111 Mend it: verified by r-2",
        "222222222222 Guess: refuted by r-2",
        "333333333333 Tidy",
        "on branch netra-loop/x in /p/ws",
    )
    render.show(render.status(view), sys.stdout)
    assert "commits    111111111111 Mend it" in capsys.readouterr().out


async def test_status_shows_them_and_what_is_waited_for(store, capsys):
    view = await view_of(store, await store.find("golden-1"))
    render.show(render.status(view), sys.stdout)
    shown = capsys.readouterr().out
    assert "fixers     robot: 1 of 1 claims verified\n           person: 0 of 1" in shown
    assert "waits for a new commit on main, since 20" in shown
    assert "the brief is /b.md" in shown
