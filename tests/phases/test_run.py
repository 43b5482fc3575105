"""Tests of `uses: run`, with real commands."""

import asyncio
import json
import os
import resource
import subprocess
import sys

import pytest

from netra_loop.clock import SystemClock
from netra_loop.core.records import Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import TestsSpec
from netra_loop.processes import carrying, identify, set_subreaper
from netra_loop.testing import Ends


def abandoned(brief: str) -> subprocess.Popen[bytes]:
    """What a fixer left running; it is known by the brief it was given."""
    return subprocess.Popen(["sleep", "60"], env={"PATH": os.environ["PATH"], "NETRA_LOOP_BRIEF": brief})


@pytest.fixture(autouse=True)
def real_life(bench):
    """Commands are real, and so is the time they take."""
    set_subreaper()
    bench.clock = SystemClock()
    bench.tools.environ = {"PATH": os.environ["PATH"]}


async def test_the_exit_code_decides(bench):
    good = await bench.act("run", command=(sys.executable, "-c", "print('done')"))
    assert (good.outcome, good.facts) == ("ok", {"exit_code": 0, "output": "done\n"})
    bad = await bench.act("run", 2, command="echo no >&2; exit 3")
    assert (bad.outcome, bad.facts) == ("failed", {"exit_code": 3, "output": "no\n"})


async def test_what_was_collected_before_serves_no_more(bench):
    await bench.act("run", command="exit 1")
    assert bench.tools.renewed == 1


async def test_a_list_is_no_shell_and_in_a_string_values_are_words(bench):
    hostile = "$(touch hacked); 'x'"
    bench.change(vars={"text": hostile})
    listed = await bench.act("run", command=("printf", "%s", "${vars.text}"))
    assert listed.facts["output"] == hostile
    shelled = await bench.act("run", 2, command="printf %s ${vars.text}")
    assert shelled.facts["output"] == hostile


async def test_a_time_out_ends_the_whole_tree(bench):
    pids = bench.tools.folder / "pids"
    grandchild = f"setsid sh -c 'echo $$$$ >> {pids}; exec sleep 60' & echo $$$$ >> {pids}; sleep 60"
    result = await bench.act("run", command=grandchild, timeout_s=2)
    assert (result.outcome, result.facts["exit_code"]) == ("failed", None)
    assert "did not end within 2s" in result.summary
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 2
    assert not any(identify(pid) for pid in found)


async def test_what_a_command_leaves_behind_is_ended_with_it(bench):
    """A daemon of its own session, whose parent is gone, still holds stdout."""
    pid = bench.tools.folder / "pid"
    began = bench.clock.monotonic()
    result = await bench.act(
        "run", command=f"(setsid sh -c 'echo $$$$ > {pid}; exec sleep 60' &); while ! [ -s {pid} ]; do :; done"
    )
    assert result.outcome == "ok"
    assert identify(int(pid.read_text())) is None
    assert bench.clock.monotonic() - began < 30


async def test_a_flood_keeps_its_ends_in_flat_memory(bench):
    lines = "import sys; [sys.stdout.write(f'{n:07d}' + 'x' * 992 + chr(10)) for n in range(100_000)]"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = await bench.act("run", command=(sys.executable, "-c", lines))
    output = result.facts["output"]
    assert output.startswith("0000000x")
    assert output.rstrip().splitlines()[-1].startswith("0099999x")
    assert " bytes left out" in output
    assert len(output) < 70_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # KiB


async def test_the_gap_cuts_no_line_in_two(bench):
    lines = (
        "import sys; sys.stdout.write('the whole line' * 7 + chr(10)); [print('open-sesame') for _ in range(20_000)]"
    )
    bench.tools.redactor = Redactor(["open-sesame"])
    output = (await bench.act("run", command=(sys.executable, "-c", lines))).facts["output"]
    assert {line for line in output.splitlines()[1:] if "left out" not in line} == {"[redacted]"}


async def test_bytes_that_are_no_text_are_shown(bench):
    result = await bench.act("run", command="printf 'a\\377\\000b'")
    assert result.facts["output"] == "a\\xff\x00b"


async def test_secrets_are_taken_out_of_the_output(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    result = await bench.act("run", command=("echo", "key=open-sesame"))
    assert result.facts["output"] == "key=[redacted]\n"
    assert "open-sesame" not in str(await bench.journal.events(bench.session))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("./fix.sh",), "there is no command './fix.sh', looked for at {root}/fix.sh"),
        (
            ("no-such-fixer",),
            "there is no command 'no-such-fixer', looked for in {path} (PATH), from the folder {root}",
        ),
        ("no-such-fixer --all", "exit code 127: a command that it names is not there, looked for in {path} (PATH)"),
        (("/etc/passwd",), "'/etc/passwd' cannot be started: Permission denied"),
        ("/etc/passwd", "exit code 126: what it names cannot be executed"),
    ],
)
async def test_a_command_that_is_not_there_is_told_with_where_it_was_looked_for(bench, command, told):
    result = await bench.act("run", command=command)
    assert result.outcome == "failed"
    assert told.format(root=bench.spec.root_dir, path=os.environ["PATH"]) in result.summary


async def test_a_fixer_finds_the_brief(bench):
    bench.clock = bench.cloud._clock
    await bench.executed(two=Ends(Outcome.FAILED, message="assert 1 == 2", traceback="E  assert 1 == 2"))
    await bench.act("record")
    bench.clock = SystemClock()
    result = await bench.act("run", command='cat "$NETRA_LOOP_BRIEF_JSON"; cat "$NETRA_LOOP_BRIEF" >&2')
    brief, _, markdown = result.facts["output"].partition("\n}")
    listed = json.loads(brief + "}")["findings"]
    assert [test["id"] for test in listed[0]["tests"]] == ["tests/test_a.py::two"]
    assert "tests/test_a.py::two: failed: assert 1 == 2" in markdown


async def test_a_brief_is_written_whatever_a_test_said(bench):
    """Half a surrogate pair, as a service may send one, cannot be written as it is."""
    bench.clock = bench.cloud._clock
    said = "assert '\ud83d' == 2"
    await bench.executed(two=Ends(Outcome.FAILED, message=said, traceback=f"E  {said}"))
    await bench.act("record")
    bench.clock = SystemClock()
    result = await bench.act("run", command='cat "$NETRA_LOOP_BRIEF_JSON"; grep -c . "$NETRA_LOOP_BRIEF" >&2')
    brief, _, lines = result.facts["output"].partition("\n}")
    (test,) = json.loads(brief + "}")["findings"][0]["tests"]
    assert test["traceback"] == f"E  {said}"
    assert int(lines) > 0


async def test_a_command_knows_where_it_is(bench):
    bench.clock = bench.cloud._clock
    await bench.deployed()
    bench.clock = SystemClock()
    bench.change(tests=TestsSpec(env={"BACKEND": "${services.backend.url}", "TOKEN": "${auth.token}"}))
    result = await bench.act("run", 2, command="pwd; env | grep -E '^(NETRA_LOOP|BACKEND|TOKEN)' | sort")
    folder = bench.tools.folder / "1-run-2"
    root = bench.spec.root_dir
    assert result.facts["output"].splitlines() == [
        str(root),
        "BACKEND=http://backend-00001-fak.invalid",
        "NETRA_LOOP_ATTEMPT=2",
        f"NETRA_LOOP_BRIEF={folder}/brief.md",
        f"NETRA_LOOP_BRIEF_JSON={folder}/brief.json",
        f"NETRA_LOOP_CLAIM={folder}/claim.json",
        "NETRA_LOOP_ENV=local",
        "NETRA_LOOP_ITERATION=1",
        f"NETRA_LOOP_NOTE={folder}/note.md",
        "NETRA_LOOP_REVISION=backend-00001-fak",
        f"NETRA_LOOP_SESSION={bench.session}",
        "NETRA_LOOP_URL=http://backend-00001-fak.invalid",
        "NETRA_LOOP_URL_BACKEND=http://backend-00001-fak.invalid",
        f"NETRA_LOOP_WORKSPACE={root}",
        "NETRA_LOOP_WS_URL=ws://backend-00001-fak.invalid",
    ]


async def test_before_any_deploy_the_tests_url_is_left_out(bench):
    bench.change(tests=TestsSpec(env={"BACKEND": "${services.backend.url}", "PLAIN": "yes"}))
    result = await bench.act("run", command="echo $BACKEND.$PLAIN")
    assert result.facts["output"] == ".yes\n"


async def test_a_token_is_asked_for_where_the_command_names_it(bench):
    bench.tools.access = "t0ken"
    await bench.act("run", command="true")
    assert bench.tools.tokens_asked == 0
    result = await bench.act("run", 2, command=("echo", "${auth.token}"))
    assert result.facts["output"] == "t0ken\n"


async def test_after_a_crash_what_was_left_running_is_ended_first(bench):
    left = abandoned(f"{bench.tools.folder}/1-run-1/brief.md")
    result = await bench.recover(await bench.open("run", command=("echo", "again")))
    assert result.facts["output"] == "again\n"
    assert left.wait(timeout=30) == -9


async def test_a_stop_at_the_very_start_leaves_nothing_either(bench):
    """We are stopped before we have even heard that the command was started; it has gone further meanwhile."""
    pids, brief = bench.tools.folder / "pids", f"{bench.tools.folder}/1-run-1/brief.md"
    command = f"setsid sleep 60 & echo $$! > {pids}.new; mv {pids}.new {pids}; wait"
    running = asyncio.create_task(bench.run(await bench.open("run", command=command)))
    while not carrying("NETRA_LOOP_BRIEF", brief):  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0)
    while not pids.exists():
        pass  # the loop stands still
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert identify(int(pids.read_text())) is None


async def test_a_stop_ends_the_command_and_all_it_started(bench):
    pids = bench.tools.folder / "pids"
    os.mkfifo(pids)
    command = f"setsid sleep 60 & echo $$! $$$$ > {pids}; wait"
    running = asyncio.create_task(bench.run(await bench.open("run", command=command)))
    found = (await asyncio.to_thread(pids.read_text)).split()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(found) == 2
    assert not any(identify(int(pid)) for pid in found)
