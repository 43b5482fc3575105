"""What every journal promises, whichever it is."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from netra_loop.core.events import Noted, PhaseFinished, PhaseStarted
from netra_loop.core.records import (
    Authenticity,
    Batch,
    Child,
    Claim,
    Contact,
    Evidence,
    Exchange,
    FindingState,
    Frame,
    Outcome,
    RootCause,
    Symptom,
)
from netra_loop.errors import Defect, SessionHeld, StoreError, UsageError
from netra_loop.journal.base import Journal, Mark
from netra_loop.testing import FakeClock
from netra_loop.testing.rows import T0, after, attempt, entry, finding, head, result, selected

S = "golden-1"


async def put(journal: Journal, batch: Batch, session: str = S) -> None:
    """Appends to a session that is made where it is missing."""
    if session not in [known.id for known in await journal.sessions()]:
        await journal.create(head(session), Batch())
    async with journal.own(session):
        await journal.append(session, batch)


async def test_what_append_answers_is_what_events_reads(journal: Journal, clock: FakeClock):
    made = await journal.create(head(), Batch(events=(Noted(text="begun"),)))
    clock.advance(2.5)
    async with journal.own(S):
        intent = PhaseStarted(iteration=1, phase="deploy", attempt=1, uses="deploy")
        outcome = PhaseFinished(
            iteration=1, phase="deploy", attempt=1, outcome="ok", target="select", facts={"revisions": ["b-1"]}
        )
        added = await journal.append(S, Batch(events=(intent, outcome)))
    assert await journal.events(S) == [*made, *added]
    assert [one.seq for one in added] == [2, 3]
    assert added[0].event == intent
    assert (added[0].at - made[0].at).total_seconds() == 2.5
    assert await journal.events(S, after=2) == [added[1]]
    assert await journal.events(S, after=3) == []
    assert await journal.verify(S) == 3


async def test_nested_tuples_come_back_alike_from_append_and_events(journal: Journal):
    await journal.create(head(), Batch())
    async with journal.own(S):
        added = await journal.append(S, Batch(events=(PhaseFinished(target="x", facts={"names": ("a", "b")}),)))
    assert list(added) == await journal.events(S)


async def test_the_head_is_replaced_with_the_batch_that_changes_it(journal: Journal):
    await journal.create(head(), Batch())
    later = head(state="met", iteration=3, phase="record", updated_at=after(9), exit_code=0)
    async with journal.own(S):
        await journal.append(S, Batch(events=(Noted(text="done"),)), later)
        await journal.append(S, Batch(events=(Noted(text="headless"),)))
    assert await journal.find(S) == later


async def test_a_session_is_made_once(journal: Journal):
    await journal.create(head(), Batch(events=(Noted(text="first"),)))
    with pytest.raises(StoreError, match="exists already"):
        await journal.create(head(), Batch(events=(Noted(text="second"),)))
    assert [one.event for one in await journal.events(S)] == [Noted(text="first")]


async def test_sessions_come_newest_first_whatever_their_clocks_said(journal: Journal):
    for number, name in enumerate(["one", "two", "three"]):
        await journal.create(head(name, started_at=after(-100 * number)), Batch())
    assert [known.id for known in await journal.sessions()] == ["three", "two", "one"]


@pytest.mark.parametrize("name", ["../up", "", "a/b", "latest", "-dash", "nul\0", "x" * 151])
async def test_an_id_is_a_plain_name(journal: Journal, name: str):
    with pytest.raises(UsageError, match="cannot name a session"):
        await journal.create(head(name), Batch())


class TestNames:
    @pytest.fixture(autouse=True)
    async def three(self, journal: Journal) -> None:
        for name in ("golden-1-aa", "golden-1-ab", "golden-1-a"):
            await journal.create(head(name), Batch())

    @pytest.mark.parametrize(
        ("name", "means"),
        [
            ("golden-1-ab", "golden-1-ab"),
            ("golden-1-a", "golden-1-a"),
            ("latest", "golden-1-a"),
        ],
    )
    async def test_a_full_id_or_latest(self, journal: Journal, name: str, means: str):
        assert (await journal.find(name)).id == means

    async def test_an_unambiguous_beginning(self, journal: Journal):
        await journal.create(head("other-1"), Batch())
        assert (await journal.find("oth")).id == "other-1"

    @pytest.mark.parametrize("name", ["golden", "", "nothing", "%", "golden_1"])
    async def test_anything_else_names_the_candidates(self, journal: Journal, name: str):
        with pytest.raises(UsageError, match="golden-1-ab") as caught:
            await journal.find(name)
        assert caught.value.exit_code == 2


async def test_a_store_without_sessions_says_so(journal: Journal):
    with pytest.raises(UsageError, match="none was ever started"):
        await journal.find("latest")
    assert await journal.sessions() == []


async def test_an_unknown_session_has_no_events(journal: Journal):
    with pytest.raises(StoreError, match="'nowhere' is not in the store"):
        await journal.events("nowhere")


async def test_a_result_comes_back_whole(journal: Journal):
    evidence = Evidence(
        contacts=(Contact("backend.test", 443, 10, 20, T0, after(1)),),
        exchanges=(
            Exchange("GET", "http://x/health", 503, T0, 0.1, body='{"detail": "…"}'),
            Exchange("GET", "http://x/none", None, T0, 0.1, error="refused"),
        ),
        frames=(
            Frame("ws://x/ws", "text", "received", after(1), 20, "agent_started", text='{"type":"agent_started"}'),
            Frame("ws://x/ws", "close", "received", after(2), code=1011, reason="internal error"),
        ),
        mocked=("respx",),
        children=(Child("curl", after(1)),),
    )
    whole = result(
        outcome=Outcome.TIMEOUT,
        reasons=("no-contact",),
        stage="agent_started",
        symptom=Symptom.TIMEOUT,
        message="no agent_completed within 60 s",
        output="NUL \0, lone \udcff surrogate, ümläut\n" * 400,
        traceback="Traceback …",
        evidence=evidence,
    )
    await put(journal, Batch(results=(whole,)))
    assert await journal.results(S, 1) == [whole]


async def test_results_without_bodies_leave_the_heavy_fields_empty(journal: Journal):
    await put(
        journal, Batch(results=(result(output="long", traceback="longer", evidence=Evidence(mocked=("respx",))),))
    )
    assert await journal.results(S, 1, bodies=False) == [result()]


async def test_text_that_no_column_takes_is_marked(journal: Journal):
    await put(journal, Batch(results=(result("test_[\0\udcff]", message="a\0b"),)))
    [stored] = await journal.results(S)
    assert stored.message == "a␀b"
    assert stored.id.startswith("test_[␀\N{REPLACEMENT CHARACTER}")
    assert await journal.results(S, test="test_[\0\udcff]") == [stored]


async def test_results_follow_the_selection_then_the_start(journal: Journal):
    await put(
        journal,
        Batch(
            selected=(selected("late", 1), selected("early", 0)),
            selected_iteration=1,
            results=(
                result("unplaced-2", started_at=after(2)),
                result("unplaced-1", started_at=after(1)),
                result("late"),
                result("early", attempt=2, started_at=after(-5)),
                result("early"),
                result("early", iteration=2),
            ),
        ),
    )
    order = [(one.id, one.attempt) for one in await journal.results(S, 1)]
    assert order == [("early", 1), ("early", 2), ("late", 1), ("unplaced-1", 1), ("unplaced-2", 1)]
    assert [one.iteration for one in await journal.results(S, test="early")] == [1, 1, 2]


async def test_the_same_attempt_again_replaces_its_result(journal: Journal):
    await put(journal, Batch(results=(result(outcome=Outcome.CRASHED),)))
    await put(journal, Batch(results=(result(duration_s=3.0), result(attempt=2))))
    assert await journal.results(S) == [result(duration_s=3.0), result(attempt=2)]


async def test_the_results_of_some_tests_alone(journal: Journal):
    rows = (result("a"), result("b"), result("b", attempt=2, started_at=after(1)), result("c", started_at=after(2)))
    await put(journal, Batch(results=rows))
    assert [(one.id, one.attempt) for one in await journal.results(S, 1, test=["b", "c", "z"])] == [
        ("b", 1),
        ("b", 2),
        ("c", 1),
    ]
    assert await journal.results(S, 1, test=[]) == []


async def test_what_is_judged_changes_nothing_but_the_judgement(journal: Journal):
    whole = result("a", output="said", evidence=Evidence(mocked=("httpx",)), message="m")
    await put(journal, Batch(results=(whole, result("b"))))
    seen = {"authenticity": Authenticity.FAKE, "reasons": ("wrong-revision",), "symptom": Symptom.FAKE_PASS}
    await put(journal, Batch(judged=(replace(result("a", duration_s=9.0), **seen), result("a", attempt=2))))
    assert await journal.results(S, 1) == [replace(whole, **seen), result("b")]
    assert (await journal.durations("golden-path"))["a"] == whole.duration_s


async def test_attempts_are_kept_beside_results(journal: Journal):
    await put(journal, Batch(started=(attempt("b", started_at=after(1)), attempt("a", started_at=after(2)))))
    await put(journal, Batch(results=(result("b"),)))
    assert [one.id for one in await journal.attempts(S, 1)] == ["b", "a"]
    assert await journal.attempts(S, 2) == []


async def test_selection_keeps_its_order(journal: Journal):
    chosen = (selected("b", 0), selected("a", 1))
    await put(journal, Batch(events=(Noted(text="chosen", iteration=4),), selected=chosen))
    assert await journal.selection(S, 4) == list(chosen)


async def test_progress_counts_results_and_entries_of_the_iteration(journal: Journal):
    assert await journal.count(S, 1) == 0
    await put(journal, Batch(results=(result("a"), result("b", iteration=2)), entries=(entry("1"), entry("2"))))
    await put(journal, Batch(results=(result("a"),), entries=(entry("2"),), started=(attempt("c"),)))
    assert await journal.count(S, 1) == 3


class TestEntries:
    async def test_one_copy_keeps_what_both_knew(self, journal: Journal):
        await put(journal, Batch(entries=(entry(tests=("a",)),)))
        await put(journal, Batch(entries=(entry(iteration=2, severity="CRITICAL"), entry(tests=("b", "a")))))
        assert await journal.entries(S) == [entry(tests=("a", "b"))]

    async def test_another_log_or_time_or_id_is_another_entry(self, journal: Journal):
        batch = Batch(entries=(entry(), entry(log="stdout"), entry(timestamp=after(1)), entry("e2")))
        await put(journal, batch)
        assert len(await journal.entries(S)) == 4

    async def test_the_newest_are_kept_oldest_first(self, journal: Journal):
        await put(journal, Batch(entries=tuple(entry(str(n), timestamp=after(n)) for n in (3, 1, 2))))
        await put(journal, Batch(entries=(entry("other", iteration=2),)))
        assert [one.insert_id for one in await journal.entries(S, 1, limit=2)] == ["2", "3"]
        assert [one.insert_id for one in await journal.entries(S)] == ["other", "1", "2", "3"]

    async def test_what_is_joined_adds_tests_and_nothing_else(self, journal: Journal):
        known = entry("e1", payload={"a": 1}, tests=("a",))
        await put(journal, Batch(entries=(known, entry("e2"))))
        bare = replace(known, payload=None, message="", severity="", tests=("b",), iteration=7)
        await put(journal, Batch(joined=(bare, entry("e3", tests=("c",)))))
        assert await journal.entries(S) == [replace(known, tests=("a", "b")), entry("e2")]

    async def test_pages_hold_each_entry_of_the_iteration_once_in_order(self, journal: Journal):
        rows = [entry(f"e{n}", timestamp=after(n // 3), log="stdout" if n % 2 else "stderr") for n in range(8)]
        await put(journal, Batch(entries=(*rows, entry("other", iteration=2))))
        pages = [page async for page in journal.entry_pages(S, 1, size=3)]
        assert [len(page) for page in pages] == [3, 3, 2]
        assert [one for page in pages for one in page] == await journal.entries(S, 1)

    async def test_payload_and_request_come_back(self, journal: Journal):
        whole = entry(
            trace_id="t" * 32,
            payload={"a": [1, {"b": None}], "text": "\0"},
            request={"method": "GET", "status": 500, "latency_s": 0.5},
            tests=("test_a",),
        )
        await put(journal, Batch(entries=(whole,)))
        assert await journal.entries(S) == [whole]

    @pytest.mark.parametrize("request_", [None, {}, {"method": "GET", "url": '/":{'}])
    async def test_the_instance_comes_back_beside_any_request(self, journal: Journal, request_: Any):
        known = entry(instance='a"b', request=request_ or None)
        await put(journal, Batch(entries=(known, entry("e2"))))
        assert await journal.entries(S) == [known, entry("e2")]

    async def test_by_what_an_entry_was_joined_comes_back(self, journal: Journal):
        known = entry(tests=("a", "b"), joined="user")
        await put(journal, Batch(entries=(known,)))
        assert await journal.entries(S) == [known]

    async def test_what_was_joined_by_more_than_the_time_stands_against_the_time(self, journal: Journal):
        surely, perhaps = entry(tests=("a",), joined="path"), entry(tests=("a", "b", "c"))
        for first, then in ((surely, perhaps), (perhaps, surely)):
            await put(journal, Batch(entries=(first,)))
            await put(journal, Batch(joined=(then,)))
            assert await journal.entries(S) == [surely]

    async def test_pages_begin_where_they_are_asked_to(self, journal: Journal):
        await put(journal, Batch(entries=tuple(entry(str(n), timestamp=after(n)) for n in range(5))))
        pages = [page async for page in journal.entry_pages(S, 1, since=after(3))]
        assert [one.insert_id for page in pages for one in page] == ["3", "4"]

    async def test_lean_pages_keep_payloads_that_hold_several_lines(self, journal: Journal):
        told = [entry("1", payload={"stack": "a\nb"}), entry("2", payload={"n": 1}), entry("3")]
        await put(journal, Batch(entries=tuple(told)))
        ((one, other, none),) = [page async for page in journal.entry_pages(S, 1, lean=True)]
        assert (one, none) == (told[0], told[2])
        assert other.payload is not None

    async def test_only_entries_that_no_error_can_be_in_are_left_out(self, journal: Journal):
        calm = {"severity": "INFO", "payload": {"n": 1}, "tests": ("a",)}
        quiet = entry("0", **calm)
        told = [
            entry("1", **calm | {"tests": ()}),
            entry("2", **calm | {"payload": None}),
            entry("3", **calm | {"severity": "WARNING"}),
            entry("4", **calm | {"severity": "NEWER"}),
            entry("5", **calm | {"log": "requests"}),
            entry("6", **calm | {"payload": {"stack": "a\nb"}}),
            entry("7", **calm | {"message": "a\nb"}),
        ]
        await put(journal, Batch(entries=(quiet, *told)))
        pages = [page async for page in journal.entry_pages(S, 1, size=2, quiet=False)]
        found = [one.insert_id for page in pages for one in page]
        assert sorted(found) == list("1234567")


class TestFindings:
    async def test_they_come_back_whole_and_in_order(self, journal: Journal):
        whole = finding(
            "z",
            impact="$120K+ MRR",
            root_cause=RootCause("agent_service_core.py", 41, "run", "AttributeError", "no attribute", 12),
            stage="agent_started",
            whys=("because",),
            claims=(Claim(1, "claimed", "backend-00001"),),
        )
        await put(journal, Batch(findings=(whole, finding("a")), findings_iteration=1))
        assert await journal.findings(S, 1) == [whole, finding("a")]

    async def test_the_newest_iteration_where_none_is_named(self, journal: Journal):
        await put(journal, Batch(findings=(finding("a"),), findings_iteration=1))
        await put(journal, Batch(findings=(finding("b"),), findings_iteration=2))
        assert [one.id for one in await journal.findings(S)] == ["b"]
        assert [one.id for one in await journal.findings(S, 1)] == ["a"]
        assert await journal.findings(S, 3) == []


async def test_a_loop_s_sessions_know_what_others_have_seen(journal: Journal):
    fixed = finding("a", state=FindingState.FIXED)
    await put(journal, Batch(findings=(finding("a"),), findings_iteration=2))
    await put(journal, Batch(findings=(finding("a"), finding("b", signature="other")), findings_iteration=3))
    await put(journal, Batch(findings=(fixed,), findings_iteration=4))
    await put(journal, Batch(findings=(finding("a"),), findings_iteration=1), session="golden-2")
    await journal.create(head("elsewhere", loop="another"), Batch(findings=(finding("a"),), findings_iteration=1))
    seen = await journal.sightings("golden-path", ["signature", "unknown"])
    assert [(one.session, one.first, one.last, one.fixed) for one in seen] == [(S, 2, 3, 4), ("golden-2", 1, 1, None)]
    assert seen[0].at == T0
    assert [one.signature for one in await journal.sightings("golden-path", ["other"])] == ["other"]
    assert await journal.sightings("golden-path", []) == []


async def test_durations_are_the_last_known_ones_of_the_loop(journal: Journal):
    await put(journal, Batch(results=(result("a", duration_s=1.0), result("b", duration_s=2.0))))
    await put(journal, Batch(results=(result("a", duration_s=9.0),)), session="golden-2")
    await journal.create(head("elsewhere", loop="another"), Batch(results=(result("a", duration_s=5.0),)))
    assert await journal.durations("golden-path") == {"a": 9.0, "b": 2.0}
    assert await journal.durations("another") == {"a": 5.0}
    assert await journal.durations("unknown") == {}


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.ERROR, Outcome.TIMEOUT, Outcome.CRASHED, Outcome.SKIPPED])
async def test_what_did_not_run_to_its_end_teaches_no_duration(journal: Journal, outcome: Outcome):
    await put(journal, Batch(results=(result("a", duration_s=1.0),)))
    cut = Batch(results=(result("a", duration_s=0.01, outcome=outcome), result("b", duration_s=60.0, outcome=outcome)))
    await put(journal, cut, session="golden-2")
    assert await journal.durations("golden-path") == {"a": 1.0}


class TestOwnership:
    async def test_a_second_owner_is_refused_and_told_who_is_the_first(self, journal: Journal):
        await journal.create(head(), Batch())
        async with journal.own(S) as epoch:
            holder = await journal.holder(S)
            assert holder is not None
            with pytest.raises(SessionHeld, match=f"process {holder.pid} on {holder.host}") as caught:
                await journal.own(S).__aenter__()
            assert caught.value.exit_code == 5
            await journal.append(S, Batch(events=(Noted(text="still ours"),)))
        assert await journal.holder(S) is None
        async with journal.own(S) as later:
            assert later > epoch

    async def test_other_sessions_are_free(self, journal: Journal):
        async with journal.own("one"), journal.own("two"):
            assert await journal.holder("two") is not None

    async def test_it_may_come_before_the_session(self, journal: Journal):
        async with journal.own(S):
            await journal.create(head(), Batch(events=(Noted(text="a"),)))
            await journal.append(S, Batch(events=(Noted(text="b"),)))
        assert await journal.verify(S) == 2

    async def test_nobody_else_appends(self, journal: Journal):
        await journal.create(head(), Batch())
        with pytest.raises(Defect, match="does not own"):
            await journal.append(S, Batch(events=(Noted(text="x"),)))
        assert await journal.events(S) == []

    async def test_it_ends_with_an_error_too(self, journal: Journal):
        await journal.create(head(), Batch())
        with pytest.raises(ZeroDivisionError):
            async with journal.own(S):
                raise ZeroDivisionError
        assert await journal.holder(S) is None


class TestNothingHalf:
    @pytest.mark.parametrize(
        "bad",
        [
            Batch(events=(Noted(text="x"),), results=(result(started_at=T0.replace(tzinfo=None)),)),
            Batch(events=(Noted(text="x"), PhaseFinished(target="x", facts={"at": object()}))),
            Batch(results=(result(),), findings=(finding(),)),
        ],
        ids=["naive-time", "no-json", "no-iteration"],
    )
    async def test_a_batch_that_is_refused_leaves_nothing(self, journal: Journal, bad: Batch):
        await journal.create(head(), Batch())
        async with journal.own(S):
            with pytest.raises(Defect):
                await journal.append(S, bad, head(iteration=7))
            [next_one] = await journal.append(S, Batch(events=(Noted(text="next"),)))
        assert next_one.seq == 1
        assert await journal.results(S) == []
        assert await journal.find(S) == head()

    async def test_another_sessions_head_is_refused(self, journal: Journal):
        await journal.create(head(), Batch())
        async with journal.own(S):
            with pytest.raises(Defect, match="'golden-2' was given for 'golden-1'"):
                await journal.append(S, Batch(), head("golden-2"))


async def test_appends_of_many_tasks_queue_up(journal: Journal):
    await journal.create(head(), Batch())
    async with journal.own(S):
        await asyncio.gather(*(journal.append(S, Batch(events=(Noted(text=str(n)),))) for n in range(20)))
    stored = await journal.events(S)
    assert [one.seq for one in stored] == list(range(1, 21))
    assert {one.event for one in stored} == {Noted(text=str(n)) for n in range(20)}


async def test_closing_twice_is_safe(journal: Journal):
    await put(journal, Batch(events=(Noted(text="stored"),)))
    await journal.close()
    assert await asyncio.gather(journal.close(), return_exceptions=True) == [None]


async def test_news_are_what_was_stored_since(journal: Journal):
    await put(journal, Batch(events=(Noted(text="old"),), started=(attempt("a"),), entries=(entry("e1"),)))
    since = await journal.mark(S)
    late = entry("late")  # stored last, whatever its time
    await put(journal, Batch(events=(Noted(text="new"),), started=(attempt("b"),), results=(result("a"), result("b"))))
    await put(journal, Batch(entries=(entry("e2", timestamp=after(9)), late)))
    news = await journal.news(S, since)
    assert [one.event for one in news.events] == [Noted(text="new")]
    assert [one.id for one in news.attempts] == ["b"]
    assert [one.id for one in news.results] == ["a", "b"]
    assert [one.insert_id for one in news.entries] == ["e2", "late"]
    assert (news.more, news.results[0].output) == (False, "")
    again = await journal.news(S, news.mark)
    assert (again.events, again.attempts, again.results, again.entries) == ([], [], [], [])
    assert again.mark == news.mark == await journal.mark(S)


async def test_what_is_stored_once_more_is_no_news(journal: Journal):
    await put(journal, Batch(started=(attempt("a"),), results=(result("a"),), entries=(entry("e1"),)))
    since = await journal.mark(S)
    await put(journal, Batch(entries=(replace(entry("e1"), tests=("a",)),), judged=(result("a"),)))
    news = await journal.news(S, since)
    assert (news.results, news.entries) == ([], [])


async def test_news_are_of_one_session(journal: Journal):
    await put(journal, Batch(entries=(entry("mine"),)))
    await put(journal, Batch(entries=(entry("theirs"),)), "golden-2")
    assert [one.insert_id for one in (await journal.news(S, Mark())).entries] == ["mine"]


async def test_many_news_come_in_portions(journal: Journal):
    await put(journal, Batch(entries=tuple(entry(f"e{number:05d}") for number in range(2500))))
    seen, mark, more = [], Mark(), True
    while more:
        news = await journal.news(S, mark)
        mark, more = news.mark, news.more
        seen += [one.insert_id for one in news.entries]
    assert seen == [f"e{number:05d}" for number in range(2500)]
