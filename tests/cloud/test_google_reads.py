"""Tests of reading entries page by page, against answers made up: what goes wrong comes when it is told to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions
from google.cloud.logging_v2.types import ListLogEntriesResponse, LogEntry
from google.rpc import error_details_pb2

from netra_loop.cloud.base import LogQuery
from netra_loop.cloud.google_calls import Calls
from netra_loop.cloud.google_link import Link
from netra_loop.cloud.google_reads import LogReader
from netra_loop.cloud.log_reads import ReadBudget
from netra_loop.errors import AccessRefused, CloudCallFailed, OutOfReads
from netra_loop.testing import FakeClock

T0 = datetime(2026, 3, 1, tzinfo=UTC)
QUERY = LogQuery(("backend-00001",), T0)


def entry(second, text="hello", **more):
    given = {
        "log_name": "projects/demo/logs/run.googleapis.com%2Fstderr",
        "timestamp": T0 + timedelta(seconds=second),
        "insert_id": f"id-{second}-{text[:8]}",
        "text_payload": text,
        "labels": {"instanceId": "0" * 100 + "abc"},
        "resource": {
            "type": "cloud_run_revision",
            "labels": {"service_name": "backend", "revision_name": "backend-00001"},
        },
        **more,
    }
    if "json_payload" in more:
        del given["text_payload"]
    return LogEntry(given)


def split(uid, index, total, text, second=1, **more):
    return entry(second, text, split={"uid": uid, "index": index, "total_splits": total}, **more)


class Server:
    """Answers with `steps`, in order: pages as (entries, token), or errors."""

    def __init__(self, *steps, clock=None):
        self.clock = clock or FakeClock()
        self.asked = []
        self.waits = []
        self._steps = list(steps)
        link = Link("unix:/nobody")
        calls = Calls(link, self.clock, "demo", self._waited)
        budget = ReadBudget(self.clock)
        self.reader = LogReader(calls, self._ask, "demo", on_wait=self._waited, budget=budget)

    async def _waited(self, why, seconds):
        self.waits.append((why, seconds))

    async def _ask(self, request):
        self.asked.append((request.filter, request.page_token))
        step = self._steps.pop(0)
        if isinstance(step, Exception):
            raise step
        entries, token = step
        return ListLogEntriesResponse(entries=entries, next_page_token=token)

    async def pages(self, query=QUERY):
        return [page async for page in self.reader.entries(query)]

    async def said(self, query=QUERY):
        return [one.message for page in await self.pages(query) for one in page.entries]


async def test_pages_follow_one_another_an_empty_one_too():
    server = Server(([entry(1, "a")], "t1"), ([], "t2"), ([entry(2, "b")], ""))
    pages = await server.pages()
    assert [len(page.entries) for page in pages] == [1, 0, 1]
    assert [page.last for page in pages] == [False, False, True]
    assert [token for _, token in server.asked] == ["", "t1", "t2"]
    assert pages[-1].cursor == "2026-03-01T00:00:02.000000Z"


async def test_a_token_goes_with_the_very_same_question():
    server = Server(([entry(1)], "t1"), ([entry(2)], "t2"), ([entry(3)], ""))
    await server.pages()
    assert len({text for text, _ in server.asked}) == 1


async def test_a_token_that_ended_begins_the_window_again_where_it_stood():
    expired = exceptions.InvalidArgument("page_token is expired")
    again = [entry(2, "b"), entry(2, "b too"), entry(3, "c")]
    server = Server(([entry(1, "a"), entry(2, "b")], "t1"), expired, (again, ""))
    assert await server.said() == ["a", "b", "b too", "c"]
    assert [token for _, token in server.asked] == ["", "t1", ""]
    assert 'timestamp>="2026-03-01T00:00:02.000000Z"' in server.asked[-1][0]


async def test_tokens_that_end_again_and_again_are_an_error_in_the_end():
    expired = exceptions.InvalidArgument("page_token is expired")
    steps = [step for _ in range(20) for step in (([entry(1)], "t"), expired)]
    with pytest.raises(CloudCallFailed, match="page_token"):
        await Server(*steps).pages()


async def test_a_question_that_is_refused_is_no_token_that_ended():
    server = Server(exceptions.InvalidArgument("bad filter"))
    with pytest.raises(CloudCallFailed, match="bad filter"):
        await server.pages()
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "error", [exceptions.TooManyRequests, exceptions.ServiceUnavailable, exceptions.GatewayTimeout]
)
async def test_what_passes_is_asked_again_and_the_wait_told(error):
    server = Server(*[error("not now")] * 6, ([entry(1, "a")], ""))
    assert await server.said() == ["a"]
    assert server.waits
    assert len(server.asked) == 7


async def test_credentials_that_ended_are_renewed_once():
    server = Server(exceptions.Unauthenticated("expired"), ([entry(1, "a")], ""))
    assert await server.said() == ["a"]
    twice = Server(exceptions.Unauthenticated("expired"), exceptions.Unauthenticated("expired"))
    with pytest.raises(AccessRefused):
        await twice.pages()


async def test_what_may_not_be_read_is_not_asked_twice():
    server = Server(exceptions.PermissionDenied("logging.logEntries.list denied"))
    with pytest.raises(CloudCallFailed):
        await server.pages()
    assert len(server.asked) == 1


async def test_every_try_and_every_page_is_counted():
    clock = FakeClock()
    steps = [([entry(n)], "t") for n in range(30)]
    server = Server(*steps, exceptions.ServiceUnavailable("no"), ([entry(99)], ""), clock=clock)
    await server.pages()
    assert clock.monotonic() > 60


async def test_entries_come_once_and_in_order_whatever_the_page_holds():
    server = Server(([entry(3, "c"), entry(1, "a"), entry(3, "c"), entry(2, "b")], ""))
    assert await server.said() == ["a", "b", "c"]


async def test_an_entry_without_an_id_gets_the_same_one_each_time():
    nameless = [entry(1, "a", insert_id=""), entry(1, "b", insert_id="")]
    ((one, other),) = [page.entries for page in await Server((nameless, "")).pages()]
    (again,) = [page.entries for page in await Server((nameless[::-1], "")).pages()]
    assert one.insert_id
    assert one.insert_id != other.insert_id
    assert again == (one, other)


async def test_a_payload_of_a_quarter_megabyte_comes_whole():
    text = "x" * 256 * 1024
    assert await Server(
        ([entry(1, json_payload={"message": text, "n": 3, "deep": {"a": [None, True]}})], "")
    ).said() == [text]


async def test_values_of_a_payload_are_read_as_they_are():
    payload = {"text": "", "n": 1.5, "yes": False, "none": None, "list": ["a", {"b": 2}], "deep": {"c": {}}}
    ((one,),) = [page.entries for page in await Server(([entry(1, json_payload=payload)], "")).pages()]
    assert one.payload == payload
    assert (one.service, one.revision, one.log) == ("backend", "backend-00001", "stderr")
    assert one.instance.endswith("abc")


async def test_pieces_of_an_entry_are_put_together_over_pages():
    server = Server(
        ([split("u", 1, 3, "two"), entry(2, "other")], "t"), ([split("u", 2, 3, "three"), split("u", 0, 3, "one")], "")
    )
    pages = await server.pages()
    assert [one.message for page in pages for one in page.entries] == ["other", "onetwothree"]
    assert pages[-1].unfinished == ()


async def test_pieces_of_a_json_payload_are_merged():
    parts = [{"message": "ab", "logger": "x", "items": [1]}, {"message": "cd", "items": [2], "deep": {"k": "v"}}]
    page = [split("u", n, 2, "", json_payload=part) for n, part in enumerate(parts)]
    ((one,),) = [page.entries for page in await Server((page, "")).pages()]
    assert one.message == "abcd"
    assert one.payload == {"message": "abcd", "logger": "x", "items": [1, 2], "deep": {"k": "v"}}


async def test_an_entry_of_which_a_piece_is_missing_is_told_as_unfinished_under_the_same_key():
    first = Server(([split("u", 0, 2, "one")], ""))
    ((part,),) = [page.unfinished for page in await first.pages()]
    whole = Server(([split("u", 0, 2, "one"), split("u", 1, 2, "two")], ""))
    ((one,),) = [page.entries for page in await whole.pages()]
    assert (part.message, one.message) == ("one", "onetwo")
    assert (part.log, part.timestamp, part.insert_id) == (one.log, one.timestamp, one.insert_id)


async def test_traces_are_asked_for_by_their_full_name():
    server = Server(([], ""))
    await server.pages(LogQuery(("backend-00001",), T0, traces=("ab", "cd")))
    asked = server.asked[0][0]
    assert 'trace=("projects/demo/traces/ab" OR "projects/demo/traces/cd")' in asked
    assert 'log_id("run.googleapis.com/requests")' in asked


class TestAQuotaOfTheApi:
    """429, for whom a late answer is no use."""

    def limited(self, server, seconds):
        end = server.clock.monotonic() + seconds
        return replace(QUERY, give_up=lambda: end)

    async def test_is_not_waited_for_beyond_the_limit_of_who_asks(self):
        server = Server(*[exceptions.ResourceExhausted("quota")] * 99)
        with pytest.raises(OutOfReads, match="the API's quota of reads allows the next in"):
            await server.said(self.limited(server, 10))
        assert server.clock.monotonic() <= 10

    async def test_that_says_how_long_it_takes_is_not_waited_for_at_all_where_that_is_too_long(self):
        hint = error_details_pb2.RetryInfo(retry_delay={"seconds": 50})
        server = Server(exceptions.ResourceExhausted("quota", details=[hint]))
        with pytest.raises(OutOfReads, match="the next in 50 s"):
            await server.said(self.limited(server, 10))
        assert server.clock.monotonic() == 0

    async def test_that_passes_in_time_is_waited_for(self):
        server = Server(exceptions.ResourceExhausted("quota"), ([entry(1, "a")], ""))
        assert await server.said(self.limited(server, 10)) == ["a"]

    async def test_is_one_thing_an_api_out_of_reach_another(self):
        server = Server(*[exceptions.ServiceUnavailable("not now")] * 99)
        with pytest.raises(CloudCallFailed, match="not now"):
            await server.said(self.limited(server, 1))
        assert server.clock.monotonic() > 1
