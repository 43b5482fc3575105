"""Tests of `uses: select`."""

from netra_loop.core.records import CollectedTest, CollectionError, Outcome, Sources
from netra_loop.core.redact import Redactor
from netra_loop.core.spec import (
    ConnectStep,
    EnvironmentSpec,
    GoalSpec,
    JourneySpec,
    SelectSpec,
    StepSpec,
    TestsSpec,
    TierSpec,
)
from netra_loop.execution.base import Collection
from netra_loop.testing import FakeRunner


def collected(*names, **more):
    tests = tuple(CollectedTest(f"tests/test_a.py::{name}", "tests/test_a.py", 1, keywords=(name,)) for name in names)
    return FakeRunner({}, collection=Collection(tests, **more))


async def selection(bench):
    return [
        (one.id.rpartition("::")[2], one.tier) for one in await bench.journal.selection(bench.session, bench.iteration)
    ]


async def test_each_test_has_its_place_and_the_reason_for_it(bench):
    bench.tools.runner = collected("slow", "login")
    bench.change(
        tiers=(
            TierSpec(name="P1", select=SelectSpec(keyword="login")),
            TierSpec(name="rest"),
        )
    )
    await bench.act("select")
    assert await selection(bench) == [("login", "P1"), ("slow", "rest")]
    first = (await bench.journal.selection(bench.session, 1))[0]
    assert first.reason.startswith("tier P1 by keyword login; ")


async def test_what_no_tier_takes_is_counted_as_left_out(bench):
    bench.tools.runner = collected("login", "other", deselected=3)
    bench.change(tiers=(TierSpec(name="P1", select=SelectSpec(keyword="login")),))
    await bench.act("select")
    assert (bench.state.selection.selected, bench.state.selection.deselected) == (1, 4)
    assert bench.watcher.planned == [1]


async def test_only_keeps_one_tier_and_is_no_full_selection(bench):
    bench.tools.runner = collected("login", "other")
    bench.change(tiers=(TierSpec(name="P1", select=SelectSpec(keyword="login")), TierSpec(name="rest")))
    bench.only = "rest"
    await bench.act("select")
    assert await selection(bench) == [("other", "rest")]
    assert not bench.state.selection.full


async def test_collection_errors_are_kept_beside_the_selection(bench):
    bench.tools.redactor = Redactor(["open-sesame"])
    error = CollectionError("tests/test_b.py", "E   KeyError: open-sesame")
    bench.tools.runner = collected("login", errors=(error,))
    result = await bench.act("select")
    assert result.outcome == "ok"
    assert bench.state.selection.collection_errors == ({"id": "tests/test_b.py", "text": "E   KeyError: [redacted]"},)
    assert await selection(bench) == [("login", None)]


async def test_an_interpreter_that_dies_leaves_its_words(bench):
    bench.tools.runner = collected(fatal="No module named pytest")
    await bench.act("select")
    assert bench.state.selection.selected == 0
    assert bench.state.selection.collection_errors == ({"id": "collection", "text": "No module named pytest"},)


async def test_warnings_are_noted(bench):
    bench.tools.runner = collected("login", warnings=("threads are alive after collection",))
    await bench.act("select")
    assert [event.text for event in await bench.events("noted")] == ["threads are alive after collection"]


async def test_which_hosts_are_taken_for_the_environment_is_told_once(bench):
    bench.change(services={}, tests=TestsSpec(env={"URL": "http://here.example.com:81/x", "SIX": "ws://[::1]/"}))
    for bench.iteration in (1, 2):
        bench.tools.runner = collected("login")
        await bench.act("select")
    (told,) = await bench.events("noted")
    assert told.text.startswith("taken for the environment: here.example.com:81, [::1]:80, by the URLs")


async def test_a_loop_that_names_no_url_is_told_what_to_do(bench):
    bench.change(services={}, tests=TestsSpec())
    bench.tools.runner = collected("login")
    await bench.act("select")
    (told,) = await bench.events("noted")
    assert told.text.startswith("taken for the environment: nothing")


async def test_where_the_environment_is_named_or_does_not_matter_nothing_is_told(bench):
    for change in (
        {"environments": {"local": EnvironmentSpec(hosts=("a.example.com",))}},
        {"environments": {"local": EnvironmentSpec()}, "goal": GoalSpec(authenticity="off")},
    ):
        bench.change(services={}, **change)
        bench.tools.runner = collected("login")
        await bench.act("select")
    assert await bench.events("noted") == []


async def test_journeys_are_selected_without_collecting(bench):
    step = StepSpec(connect=ConnectStep(url="ws://127.0.0.1:1/ws"))
    bench.change(tests=None, journeys={"path": JourneySpec(name="path", steps=(step,))})
    bench.tools.journey_runner = FakeRunner({})
    await bench.act("select")
    assert await selection(bench) == [("path", None)]


async def test_what_failed_last_time_comes_first(bench):
    await bench.executed(one=Outcome.PASSED, two=Outcome.FAILED, three=Outcome.PASSED)
    bench.iteration = 2
    await bench.act("select")
    assert (await selection(bench))[0] == ("two", None)


async def test_an_iteration_that_ran_nothing_does_not_hide_the_one_before(bench):
    await bench.executed(one=Outcome.PASSED, two=Outcome.FAILED)
    bench.iteration = 3
    await bench.act("select")
    assert (await selection(bench))[0] == ("two", None)


async def test_what_failed_in_the_session_before_comes_first(bench, tmp_path):
    await bench.executed(one=Outcome.PASSED, two=Outcome.PASSED, three=Outcome.FAILED)
    later = type(bench)(tmp_path / "later", "night-20260102-000000-abcd")
    later.journal, later.cloud, later.tools.runner = bench.journal, bench.cloud, bench.tools.runner
    async with later.journal.own(later.session):
        await later.begin()
        await later.act("select")
    assert (await later.journal.selection(later.session, 1))[0].id == "tests/test_a.py::three"


async def test_another_loop_s_failures_do_not_count(bench, tmp_path):
    await bench.executed(one=Outcome.PASSED, two=Outcome.PASSED, three=Outcome.FAILED)
    later = type(bench)(tmp_path / "later", "day-20260102-000000-abcd")
    later.journal, later.cloud, later.tools.runner = bench.journal, bench.cloud, bench.tools.runner
    later.change(name="day")
    async with later.journal.own(later.session):
        await later.begin()
        await later.act("select")
    assert (await later.journal.selection(later.session, 1))[0].id == "tests/test_a.py::one"


async def test_what_files_held_is_kept_from_the_first_time_they_are_seen(bench):
    first = Sources({"tests/test_a.py": "1", "conftest.py": "c"}, {"tests/test_a.py": ["conftest.py"]})
    later = Sources({"tests/test_a.py": "2", "conftest.py": "c", "tests/test_b.py": "1"}, {"tests/test_a.py": []})
    for seen in (first, later, later):
        bench.tools.runner = collected("login", sources=seen)
        await bench.act("select")
    assert [event.files for event in await bench.events("sources_seen")] == [first.files, {"tests/test_b.py": "1"}]
    assert bench.state.sources == Sources({**later.files, **first.files}, first.conftests)


async def test_a_journey_s_text_is_kept_too(bench):
    journey = JourneySpec(name="path", steps=(StepSpec(connect=ConnectStep(url="ws://127.0.0.1:1/ws")),))
    bench.change(tests=None, journeys={"path": journey})
    bench.tools.journey_runner = FakeRunner({})
    await bench.act("select")
    assert list(bench.state.sources.files) == ["journey::path"]
