"""Somebody else's commit, revision or word is waited for, whatever becomes of the process meanwhile."""

import asyncio
import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from netra_loop.app import PHASES
from netra_loop.core import events as ev
from netra_loop.core.records import Batch
from netra_loop.errors import AccessRefused, CloudCallFailed, UsageError
from netra_loop.testing.rows import finding


def git(folder, *words):
    given = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", *words)
    ran = subprocess.run(["git", *given], cwd=folder, check=True, capture_output=True, text=True)
    return ran.stdout.strip()


def read(path):
    return Path(path).read_text(encoding="utf-8")


def commits(folder, text, message="Mend the answer", file="service/app.py"):
    (folder / file).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
async def checkout(bench):
    """A repository with one commit, in which source is changed in place."""
    root = bench.spec.root_dir
    (root / "service").mkdir()
    git(root, "init", "--quiet", "--initial-branch=main")
    commits(root, "answer = 41\n", "First")
    bench.tools.environ = {"PATH": os.environ["PATH"]}
    return root


@pytest.fixture
async def worktree(bench, checkout, fixing):
    """A worktree of it."""
    clock = bench.clock
    where = await fixing("worktree")
    bench.clock = clock
    return where


async def during(bench, doing, **parameters):
    """The phase, and `doing` once it has begun to wait."""
    began = asyncio.Event()

    async def record(batch):
        await bench.record(batch)
        began.set()

    context = replace(await bench.open("wait", **parameters), record=record)
    waits = asyncio.create_task(bench.run(context))
    await began.wait()
    doing()
    return await bench.close(context, await waits)


class TestCommit:
    async def test_in_place_the_next_one_on_the_branch_checked_out_ends_it(self, bench, checkout):
        made = []
        result = await during(bench, lambda: made.append(commits(checkout, "answer = 42\n")), **{"for": "commit"})
        assert (result.outcome, result.facts) == ("ok", {"commit": made[0]})
        assert result.summary == f"{made[0][:12]} Mend the answer (Ann)"
        (began,) = await bench.events("wait_began")
        assert (began.told, began.place) == ("a new commit on main", str(checkout))
        assert bench.tools.renewed == 1
        assert await bench.events("committed") == []

    async def test_one_made_while_nobody_looked_is_seen_at_once(self, bench, checkout):
        known = git(checkout, "rev-parse", "HEAD")
        context = await bench.open("wait", **{"for": "commit"})
        await bench.record(
            Batch(events=(context.stamp(ev.WaitBegan(what="commit", told="a commit", known={"main": known})),))
        )
        made = commits(checkout, "answer = 42\n")
        git(checkout, "checkout", "--quiet", "-b", "elsewhere")
        bench.clock.slept.clear()
        result = await bench.recover(context)
        assert result.facts == {"commit": made}
        assert bench.clock.slept == []
        assert bench.watcher.said == ["waits for a commit, since 2026-01-01 00:00:00 UTC"]

    async def test_what_takes_commits_back_is_no_new_one(self, bench, checkout):
        commits(checkout, "answer = 42\n")

        def back():
            git(checkout, "reset", "--quiet", "--hard", "HEAD^")

        result = await during(bench, back, **{"for": "commit", "timeout_s": 60.0})
        assert result.outcome == "failed"
        assert result.summary == "no new commit on main came within 1m"

    async def test_without_a_repository_none_can_come(self, bench):
        bench.tools.environ = {"PATH": os.environ["PATH"]}
        with pytest.raises(UsageError, match="lies in no git repository"):
            await bench.act("wait", **{"for": "commit"})

    async def test_with_a_worktree_it_is_what_the_session_goes_on_with(self, bench, worktree):
        await bench.record(Batch(findings=(finding("F-1", title="wrong answer"),), findings_iteration=1))
        say = "Mend the answer\n\nIt was 41.\n\nNetra-Loop-Finding: F-1\nNetra-Loop-Finding: F-9\n"
        base = bench.state.head
        made = []
        result = await during(bench, lambda: made.append(commits(worktree, "answer = 42\n", say)), **{"for": "commit"})
        assert result.outcome == "ok"
        assert bench.state.head == made[0]
        (fact,) = bench.state.commits
        assert (fact.parent, fact.subject, fact.paths) == (base, "Mend the answer", ("service/app.py",))
        (person,) = bench.state.fixers
        assert (person.phase, person.claims, person.note.splitlines()[2]) == ("wait", ("F-1",), "It was 41.")
        (claimed,) = await bench.journal.findings(bench.session)
        assert [claim.verdict for claim in claimed.claims] == ["claimed"]

    async def test_made_elsewhere_it_is_taken_into_the_worktree(self, bench, worktree):
        home = bench.tools.workspace.home
        git(home, "checkout", "--quiet", "--force", "main")
        made = []
        result = await during(
            bench, lambda: made.append(commits(home, "answer = 42\n")), **{"for": "commit", "ref": "main"}
        )
        assert result.outcome == "ok", result.summary
        assert (worktree / "service/app.py").read_text() == "answer = 42\n"
        assert git(worktree, "rev-parse", bench.tools.workspace.made.branch) == made[0] == bench.state.head
        assert git(worktree, "status", "--porcelain") == ""

    async def test_what_was_not_committed_is_put_aside(self, bench, worktree):
        def half():
            commits(worktree, "answer = 42\n")
            (worktree / "service/other.py").write_text("half done")

        result = await during(bench, half, **{"for": "commit"})
        assert "1 file that was not committed put aside" in result.summary
        assert (worktree / "service/other.py").read_text() == "x = 1\n"
        kept = result.summary.rpartition(" ")[2]
        assert git(worktree, "show", f"{kept}:service/other.py") == "half done"

    async def test_what_cannot_be_put_aside_is_told_and_let_be(self, bench, worktree):
        def half():
            commits(worktree, "answer = 42\n")
            with (worktree / "service/core").open("wb") as file:
                file.truncate(1_000_000_000)

        result = await during(bench, half, **{"for": "commit", "timeout_s": 60.0})
        assert (result.outcome, (worktree / "service/core").exists()) == ("failed", True)
        (note,) = await bench.events("noted")
        assert "cannot be put aside: service/core" in note.text

    async def test_one_that_does_not_build_on_the_session_s_is_told_and_not_taken(self, bench, worktree):
        await bench.act("run", command="echo 'answer = 43' > service/app.py")
        await bench.act("commit", paths=("../service",))
        home = bench.tools.workspace.home
        git(home, "checkout", "--quiet", "--force", "main")
        result = await during(
            bench, lambda: commits(home, "answer = 42\n"), **{"for": "commit", "ref": "main", "timeout_s": 60.0}
        )
        assert result.outcome == "failed"
        (note,) = await bench.events("noted")
        assert "does not build on" in note.text
        assert bench.state.commits[-1].subject != "Mend the answer"

    async def test_a_person_is_given_the_brief_that_a_command_would_be(self, bench, worktree):
        found = finding("F-1", title="wrong answer")
        await bench.record(Batch(findings=(found,), findings_iteration=1))
        await during(bench, lambda: commits(worktree, "answer = 42\n"), **{"for": "commit"})
        (began,) = await bench.events("wait_began")
        told, data = read(began.brief), json.loads(read(began.brief.replace(".md", ".json")))
        assert "wrong answer" in told
        assert data["findings"][0]["id"] == "F-1"


class TestRevision:
    async def test_another_s_ends_it(self, bench):
        name = await bench.deployed()
        result = await during(bench, lambda: bench.cloud.somebody_deploys("backend"), **{"for": "revision"})
        assert (result.outcome, result.facts["revision"]) == ("ok", "backend-00002-fak")
        assert result.summary == f"backend serves backend-00002-fak, and served {name} before"

    async def test_one_that_came_while_the_tests_ran_is_seen_at_once(self, bench):
        await bench.deployed()
        bench.cloud.somebody_deploys("backend")
        assert (await bench.act("wait", **{"for": "revision"})).outcome == "ok"

    async def test_one_of_our_own_is_not_what_is_waited_for(self, bench):
        first = await bench.deployed()
        bench.iteration = 2
        await bench.deployed()
        await bench.cloud.route("backend", first)
        result = await bench.act("wait", **{"for": "revision", "timeout_s": 30.0})
        assert result.outcome == "failed"
        assert [note.text for note in await bench.events("noted")] == [
            f"backend serves {first}, which this session made: that is not what is waited for"
        ]

    async def test_a_cloud_that_is_away_for_a_while_is_asked_again(self, bench):
        await bench.deployed()
        context = await bench.open("wait", **{"for": "revision"})
        began = ev.WaitBegan(what="revision", told="a revision", known={"backend": "backend-00001-fak"})
        await bench.record(Batch(events=(context.stamp(began),)))
        bench.cloud.somebody_deploys("backend")
        away = CloudCallFailed("reading service 'backend'", "UNAVAILABLE", "try later", retryable=True)
        bench.cloud.raise_next(away, call="standing")
        assert (await bench.recover(context)).outcome == "ok"
        assert "asked again" in (await bench.events("noted"))[0].text

    async def test_credentials_that_are_refused_are_for_a_person(self, bench):
        await bench.deployed()
        bench.cloud.raise_next(AccessRefused("reading", "UNAUTHENTICATED", "log in"), call="standing")
        with pytest.raises(AccessRefused):
            await bench.act("wait", **{"for": "revision"})

    async def test_it_looks_once_in_each_period(self, bench):
        await bench.deployed()
        bench.clock.slept.clear()
        await bench.act("wait", **{"for": "revision", "timeout_s": 25.0, "period_s": 10.0})
        assert bench.clock.slept == [10.0, 10.0, 5.0]


class TestResume:
    async def test_the_session_pauses_and_whoever_resumes_it_ends_it(self, bench):
        context = await bench.open("wait", **{"for": "resume"})
        result = await bench.run(context)
        assert result.pauses == "phase 'wait' waits for somebody who resumes it"
        await bench.record(Batch(events=(ev.SessionPaused(why=result.pauses),)))
        await bench.record(Batch(events=(ev.SessionResumed(pid=1, host="here"),)))
        assert (await bench.recover(context)).outcome == "ok"
        assert bench.state.waiting is None

    async def test_killed_before_the_pause_was_stored_it_pauses(self, bench):
        context = await bench.open("wait", **{"for": "resume"})
        await bench.run(context)
        assert (await PHASES["wait"].reconcile(context)).pauses

    async def test_too_late_is_failed(self, bench):
        context = await bench.open("wait", **{"for": "resume", "timeout_s": 3600.0})
        await bench.run(context)
        await bench.record(Batch(events=(ev.SessionPaused(why="waits"),)))
        bench.clock.advance(7200)
        await bench.record(Batch(events=(ev.SessionResumed(pid=1, host="here"),)))
        assert (await bench.recover(context)).outcome == "failed"


async def test_the_session_s_own_time_ends_it_too(bench):
    await bench.deployed()
    bench.change(limits=bench.spec.limits.model_copy(update={"duration_s": 40.0}))
    result = await bench.act("wait", **{"for": "revision"})
    assert result.outcome == "failed"
    assert result.summary == "no new revision of backend came before the session's time was used up"
