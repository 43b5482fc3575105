"""What a command may change and what not, in a workspace and in place."""

import asyncio
import subprocess

import pytest

from netra_loop.core import events as ev
from netra_loop.core.records import Batch
from netra_loop.testing.rows import finding

FIX = "echo 'answer = 42' > service/app.py"


async def test_what_a_fixer_changes_is_told_and_stays(bench, fixing):
    root = await fixing()
    result = await bench.act("run", command=FIX, paths=("../service",))
    assert result.outcome == "ok"
    (ran,) = await bench.events("fixer_ran")
    assert (ran.changed, ran.refused) == (("service/app.py",), ())
    assert (root / "service/app.py").read_text() == "answer = 42\n"
    assert (bench.spec.home_dir.parent / "service/app.py").read_text() == "answer = 41\n"


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("sed -i 's/assert 0/assert 1/' tests/test_app.py", "tests/test_app.py"),
        ("rm tests/test_app.py", "tests/test_app.py"),
        ("echo 'collect_ignore_glob = [\"*\"]' > conftest.py", "conftest.py"),
        ("echo > tests/conftest.py", "tests/conftest.py"),
        ("echo 'goal: {}' >> loops/night.yaml", "loops/night.yaml"),
        ("ln -sf ../README.md tests/test_app.py", "tests/test_app.py"),
        ("git add -A && echo x > tests/new.py && git -c user.name=a -c user.email=b commit -qam x", "tests/new.py"),
        ("mv tests elsewhere && ln -s elsewhere tests", "tests/test_app.py"),
        ("mv tests/test_app.py tests/app_test.py", "tests/test_app.py"),
        ("echo '[pytest]' > pytest.ini", "pytest.ini"),
        ("printf '[tool.pytest.ini_options]\naddopts = \"-k none\"\n' > pyproject.toml", "pyproject.toml"),
        ("printf '[tool:pytest]\naddopts = -k none\n' > tests/setup.cfg", "tests/setup.cfg"),
        ("echo conftest.py > service/.gitignore; echo > conftest.py; git add -f conftest.py", "conftest.py"),
        ("echo conftest.py > .git/info/exclude; echo > conftest.py", "conftest.py"),
        ("git update-index --assume-unchanged tests/test_app.py; echo > tests/test_app.py", "tests/test_app.py"),
        ("mkdir tests/x && cd tests/x && git init -q && touch test_x.py", "tests/x/test_x.py"),
    ],
)
async def test_a_change_of_what_is_sealed_is_refused_with_the_diff_and_taken_back(bench, fixing, command, path):
    root = await fixing()
    before = await bench.tools.workspace.snapshot("before")
    result = await bench.act("run", command=f"{FIX}; {command}")
    assert result.outcome == "failed"
    assert "it changed what is sealed: " in result.summary
    assert path in result.summary.partition("; all of its changes were taken back")[0]
    assert path in result.facts["diff"]
    assert "service/app.py" not in result.facts["diff"]
    assert await bench.tools.workspace.snapshot("after") == before
    assert not (root / "conftest.py").exists()
    assert (root / "service/app.py").read_text() == "answer = 41\n"


async def test_what_is_not_among_its_paths_is_refused(bench, fixing):
    root = await fixing()
    result = await bench.act("run", command=f"{FIX}; echo more >> README.md", paths=("../service",))
    assert result.outcome == "failed"
    assert "it changed what is not among its paths: README.md; all of its changes were taken back" in result.summary
    assert (root / "service/app.py").read_text() == "answer = 41\n"


async def test_a_seal_of_the_loops_own_and_none(bench, fixing):
    await fixing()
    bench.change(seal=("../service/*.py",))
    assert (await bench.act("run", command=FIX)).outcome == "failed"
    bench.change(seal=())
    assert (await bench.act("run", 2, command="rm tests/test_app.py")).outcome == "ok"


async def test_in_place_the_seal_is_told_though_nothing_is_taken_back(bench, fixing):
    await fixing()
    bench.tools.workspace = None
    result = await bench.act("run", command=f"{FIX}; sed -i 's/assert 0/assert 1/' tests/test_app.py")
    assert result.outcome == "failed"
    assert "it changed what is sealed: tests/test_app.py; the changes are still there" in result.summary
    assert "-def test_answer(): assert 0\n+def test_answer(): assert 1\n" in result.facts["diff"]
    again = await bench.act("run", 2, command=FIX)
    assert again.outcome == "failed"
    assert "what is sealed is still as an earlier command left it: tests/test_app.py" in again.summary
    back = await bench.act("run", 3, command="sed -i 's/assert 1/assert 0/' tests/test_app.py")
    assert back.outcome == "failed"  # it is changed, though for the better
    assert (await bench.act("run", 4, command=FIX)).outcome == "ok"


async def test_in_place_who_had_the_session_stand_still_has_seen_what_is_there(bench, fixing):
    await fixing()
    bench.tools.workspace = None
    assert (await bench.act("run", command="echo > conftest.py")).outcome == "failed"
    await bench.record(Batch(events=(ev.SessionPaused(why="asked to"), ev.SessionResumed(pid=1, host="here"))))
    assert (await bench.act("run", 2, command=FIX)).outcome == "ok"


@pytest.mark.parametrize("steps", [*range(12), 20, 50, 100, 200])
async def test_in_place_what_is_changed_after_a_stop_is_not_the_commands_doing(bench, fixing, steps):
    root = await fixing()
    bench.tools.workspace = None
    context = await bench.open("run", command="test -e go || exec sleep 60")
    running = asyncio.create_task(bench.run(context))
    while not any(bench.tools.folder.glob("*/sealed.json*")):  # noqa: ASYNC110 - another thread's doing
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (root / "go").touch()
    (root / "loops/night.yaml").write_text("name: day\n")
    assert (await bench.recover(context)).outcome == "ok"


async def test_what_an_attempt_left_that_was_cut_off_is_gone_before_the_next(bench, fixing):
    root = await fixing()
    context = await bench.open("run", command="test ! -e service/half && cat service/app.py")
    await bench.run(context)
    (root / "service/half").write_text("half")
    (root / "service/app.py").write_text("broken(")
    result = await bench.recover(context)
    assert (result.outcome, result.facts["output"]) == ("ok", "answer = 41\n")


async def test_a_note_and_claims_are_read_and_what_is_wrong_with_them_told(bench, fixing):
    await fixing()
    await bench.record(Batch(findings=(finding("F-1"), finding("F-2")), findings_iteration=1))
    say = 'printf "Mended.\\n" > "$NETRA_LOOP_NOTE"; printf "%s" \'["F-1", "F-9"]\' > "$NETRA_LOOP_CLAIM"'
    result = await bench.act("run", command=f"{FIX}; {say}")
    assert result.outcome == "ok"
    assert "the claim names no finding of this brief: F-9" in result.summary
    (ran,) = await bench.events("fixer_ran")
    assert (ran.note, ran.claims) == ("Mended.\n", ("F-1",))
    claims = {one.id: [claim.verdict for claim in one.claims] for one in await bench.journal.findings(bench.session)}
    assert claims == {"F-1": ["claimed"], "F-2": []}


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        ("not json", "the claim is no JSON"),
        ('{"F-1": 1}', "the claim is no JSON list of finding ids"),
        ("[1]", "the claim is no JSON list of finding ids"),
    ],
)
async def test_a_claim_that_is_none_is_told_and_hurts_nobody(bench, fixing, claim, told):
    await fixing()
    result = await bench.act("run", command=f"printf '%s' '{claim}' > \"$NETRA_LOOP_CLAIM\"")
    assert result.outcome == "ok"
    assert told in result.summary


async def test_a_note_that_is_a_fifo_or_without_end_is_not_waited_for(bench, fixing):
    await fixing()
    fifo = await bench.act("run", command='mkfifo "$NETRA_LOOP_NOTE"')
    assert "note.md is no regular file" in fifo.summary
    long = await bench.act("run", 2, command='head -c 3000000 /dev/zero > "$NETRA_LOOP_NOTE"')
    assert "note.md is longer than 65536 bytes and was cut" in long.summary


async def test_what_running_python_leaves_is_no_change(bench, fixing):
    await fixing()
    result = await bench.act("run", command="mkdir -p tests/__pycache__ && echo x > tests/__pycache__/a.pyc")
    assert result.outcome == "ok"
    assert await bench.events("fixer_ran") == []


async def test_of_a_file_that_also_says_other_things_only_what_it_tells_pytest_is_sealed(bench, fixing):
    await fixing()
    result = await bench.act("run", command="printf '[project]\nname = \"x\"\n' > pyproject.toml")
    assert result.outcome == "ok", result.summary


async def test_what_git_itself_goes_by_is_not_for_fixers(bench, fixing):
    root = await fixing()
    config = (root / ".git/config").read_text()
    hook = "mkdir -p .git/hooks && echo exit 1 > .git/hooks/pre-commit"
    result = await bench.act("run", command=f"{FIX}; git config core.hooksPath /tmp; {hook}")
    assert result.outcome == "failed"
    assert f"git's own {root}/.git/config, git's own {root}/.git/hooks/pre-commit" in result.summary
    assert ((root / ".git/config").read_text(), (root / ".git/hooks/pre-commit").exists()) == (config, False)


@pytest.mark.parametrize("broken", ["echo '[broken' >> .git/config", "git config core.bare true"])
async def test_settings_that_git_gives_up_over_are_put_back_first(bench, fixing, broken):
    await fixing()
    result = await bench.act("run", command=f"{FIX}; {broken}")
    assert result.outcome == "failed"
    assert "/.git/config; all of its changes were taken back" in result.summary


async def test_what_git_would_run_in_the_users_repository_is_refused_until_it_is_gone(bench, fixing):
    checkout = bench.spec.root_dir
    await fixing("worktree")
    first = await bench.act("run", command="git config filter.evil.clean cat")
    assert first.outcome == "failed"
    assert "but for git's own files in the user's repository, which are left to the user" in first.summary
    again = await bench.act("run", 2, command=FIX)
    assert again.outcome == "failed"
    assert f"still as an earlier command left it: git's own {checkout}/.git/config" in again.summary
    git(checkout, "config", "--unset", "filter.evil.clean")
    assert (await bench.act("run", 3, command=FIX)).outcome == "ok"


async def test_a_fixers_own_commits_count_as_changes(bench, fixing):
    root = await fixing()
    head = await bench.tools.workspace.head()
    commit = "git checkout -q -b mine && git -c user.name=a -c user.email=b commit -qam Mine"
    result = await bench.act("run", command=f"{FIX}; {commit}", paths=("../service",))
    assert result.outcome == "ok"
    assert "it made commits or moved the branch, which is back" in result.summary
    assert await bench.tools.workspace.head() == head
    assert (await bench.events("fixer_ran"))[0].changed == ("service/app.py",)
    assert (root / "service/app.py").read_text() == "answer = 42\n"


async def test_a_huge_file_is_refused_and_goes(bench, fixing):
    root = await fixing()
    result = await bench.act("run", command=f"{FIX}; truncate -s 1G service/core.dump", paths=("../service",))
    assert result.outcome == "failed"
    assert "what it left cannot be kept: 1074 MB are new or changed, more than 100 MB" in result.summary
    assert (await bench.events("fixer_ran"))[0].refused == ("service/core.dump", "service/app.py")
    assert not (root / "service/core.dump").exists()
    assert (root / "service/app.py").read_text() == "answer = 41\n"


async def test_in_a_worktree_nothing_of_the_checkout_is_touched(bench, fixing):
    """Refused or not, committed or not: but for git's own objects, references and worktrees."""
    checkout = bench.spec.root_dir
    await fixing("worktree")
    before = hashed(checkout)
    await bench.act("run", command=FIX)
    await bench.act("commit", paths=("../service",))
    await bench.tools.workspace.export(bench.state.head)
    bench.iteration = 2
    assert (await bench.act("run", command="rm tests/test_app.py")).outcome == "failed"
    assert hashed(checkout) == before


def git(folder, *words):
    named = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com")
    return subprocess.run(["git", *named, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def hashed(checkout):
    """Every file's content, git's index, HEAD and settings among them."""
    left_out = {".git/objects", ".git/refs", ".git/logs", ".git/worktrees"}
    return {
        path.relative_to(checkout).as_posix(): path.read_bytes()
        for path in checkout.rglob("*")
        if path.is_file() and not any(path.is_relative_to(checkout / name) for name in left_out)
    }
