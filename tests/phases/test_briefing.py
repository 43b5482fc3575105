"""Tests of the brief that a fixer is handed: where the fault is, what was seen, what was tried."""

import json
import os

import pytest

from netra_loop.clock import SystemClock
from netra_loop.core.records import Batch, Evidence, Exchange, Frame, Outcome
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import ServiceSpec
from netra_loop.testing import Ends

SOURCE = "def act(it):\n    x = 1\n    return it.pool.go(x)\n"
MESSAGE = "'NoneType' object has no attribute 'go'"


@pytest.fixture
def failing(bench, fixing):
    """One iteration of a service with a fault, recorded; its workspace is of `kind`, None where it has none."""

    async def prepare(kind: str | None = "copy", source: str = SOURCE) -> None:
        fake = bench.clock
        bench.change(services={"backend": ServiceSpec(source="../service", command=("serve",))})
        (bench.spec.root_dir / "service").mkdir(parents=True)
        if kind is not None:
            await fixing(kind, source)
        else:
            (bench.spec.root_dir / "service/app.py").write_text(source)
            bench.tools.environ = {"PATH": os.environ["PATH"]}
        bench.clock = fake
        await fails(bench)

    return prepare


async def fails(bench) -> None:
    """An iteration in which one test fails over what the service logged."""
    await bench.deployed()
    at = bench.clock.now()
    seen = Evidence(
        exchanges=(Exchange("GET", "http://b/health", 200, at, 0.01),),
        frames=(Frame("ws://b/ws", "close", "received", at, code=1011, reason="Internal error"),),
    )
    bench.tests(one=Ends(Outcome.FAILED, message="closed 1011", evidence=seen))
    await bench.act("select")
    await bench.act("execute")
    (result,) = await bench.journal.results(bench.session, bench.iteration)
    folder = bench.state.taken["backend"].folder
    trace = (
        f'Traceback (most recent call last):\n  File "{folder}/app.py", line 3, in act\n'
        f"    return it.pool.go(x)\nAttributeError: {MESSAGE}"
    )
    entry = bench.entry(
        trace,
        0.001,
        severity="ERROR",
        trace_id=result.trace_id,
        revision=str(result.revision),
        iteration=bench.iteration,
    )
    await bench.record(Batch(entries=(entry,)))
    await bench.act("record")


async def brief(bench, **parameters):
    """What a fixer is handed, in both forms."""
    told = bench.tools.folder / "told"
    told.mkdir(exist_ok=True)
    command = f'cp "$$NETRA_LOOP_BRIEF" "$$NETRA_LOOP_BRIEF_JSON" {told}; {parameters.pop("then", "true")}'
    fake, bench.clock = bench.clock, SystemClock()  # commands take the time they take
    await bench.act("run", parameters.pop("attempt", 1), command=command)
    bench.clock = fake
    return json.loads((told / "brief.json").read_text()), (told / "brief.md").read_text()


@pytest.mark.parametrize("kind", ["copy", None])
async def test_it_names_the_place_in_the_source_that_was_deployed(bench, failing, kind):
    await failing(kind)
    made, text = await brief(bench)
    (finding,) = made["findings"]
    place = finding["place"]
    assert (finding["root_cause"]["file"], finding["root_cause"]["line"]) == ("app.py", 3)
    assert (place["path"], place["line"]) == ("service/app.py", 3)
    assert place["source"] == [{"line": number, "text": line} for number, line in enumerate(SOURCE.split("\n"), 1)]
    assert (bench.spec.root_dir / place["path"]).read_text() == SOURCE
    assert finding["open_why"] == "why is it.pool None here?"
    assert ">     3 |     return it.pool.go(x)" in text


async def test_it_names_who_touched_the_line_last(bench, failing):
    await failing("worktree")
    (finding,) = (await brief(bench))[0]["findings"]
    touched = finding["place"]["touched"]
    assert finding["place"]["commit"] == bench.state.head == touched["commit"]
    assert (touched["author"], touched["subject"], touched["ours"]) == ("Ann", "First", False)
    assert any(why.startswith("line 3 was last touched by ") for why in finding["whys"])


async def test_a_copy_does_not_know_who_wrote_what_it_began_with(bench, failing):
    await failing("copy")
    (finding,) = (await brief(bench))[0]["findings"]
    assert finding["place"]["touched"] is None
    assert not [why for why in finding["whys"] if "touched" in why]


async def test_what_was_seen_stands_on_one_axis(bench, failing):
    await failing()
    (finding,) = (await brief(bench))[0]["findings"]
    moments = finding["evidence"]["moments"]
    assert {moment["source"] for moment in moments} == {"websocket", "log", "http", "test"}
    assert [moment["at"] for moment in moments] == sorted(moment["at"] for moment in moments)
    (logged,) = [moment["text"] for moment in moments if moment["source"] == "log"]
    assert logged.endswith(f"AttributeError: {MESSAGE}")


async def test_source_that_was_changed_since_the_deploy_is_not_shown_for_it(bench, failing):
    await failing()
    (bench.spec.root_dir / "service/app.py").write_text("# new\n" * 50)
    (finding,) = (await brief(bench))[0]["findings"]
    assert finding["place"]["source"][2]["text"] == "    return it.pool.go(x)"


async def test_what_the_source_holds_of_secrets_is_hidden(bench, failing):
    bench.tools.redactor = Redactor({"hunter2-hunter2"})
    await failing(source="def act(it):\n    key = 'hunter2-hunter2'\n    return it.pool.go(key)\n")
    made, text = await brief(bench)
    assert "hunter2" not in json.dumps(made) + text
    assert made["findings"][0]["place"]["source"][2]["text"] == "    return it.pool.go(key)"


async def test_the_next_fixer_knows_what_the_last_one_tried(bench, failing):
    await failing()
    (finding,) = (await brief(bench))[0]["findings"]
    claim = f"echo '[\"{finding['id']}\"]' > $$NETRA_LOOP_CLAIM"
    edit = f"printf '# waits longer\\n' >> service/app.py; echo waits longer > $$NETRA_LOOP_NOTE; {claim}"
    await brief(bench, attempt=2, then=edit)
    await bench.act("commit", paths=("../service",))
    bench.iteration = 2
    await fails(bench)
    made, text = await brief(bench)
    (finding,) = made["findings"]
    (tried,) = finding["attempts"]
    assert finding["state"] == "persisting"
    assert (tried["note"], tried["claimed"], tried["verdict"], tried["helped"]) == (
        "waits longer",
        True,
        "refuted",
        False,
    )
    assert tried["commit"] == bench.state.head
    assert (tried["tests_before"], tried["tests_after"]) == (1, 1)
    assert "claim refuted by backend-00002" in text


async def test_what_a_gate_said_is_told_to_the_next_try(bench, failing):
    await failing()
    assert (await brief(bench))[0]["said_no"] is None
    await brief(bench, attempt=2, then="echo no, look again; exit 3")
    said = (await brief(bench, attempt=3))[0]["said_no"]
    assert (said["summary"], said["output"]) == ("exit code 3", "no, look again\n")


async def test_how_to_run_it_again_names_no_secret(bench, failing):
    await failing()
    made, text = await brief(bench)
    assert made["cwd"] == str(bench.spec.root_dir)
    assert made["findings"][0]["rerun"][1:] == ["-m", "pytest", "tests/test_a.py::one"]
    assert made["env"]["NETRA_LOOP_URL"].startswith("http")
    assert f"cd {made['cwd']}" in text
