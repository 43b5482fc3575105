"""Following entries, told by a server of ours that says what it is told to say."""

import asyncio
import gc
import urllib.request
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.cloud.logging_v2.types import (
    ListLogEntriesRequest,
    ListLogEntriesResponse,
    LogEntry,
    LogSplit,
    TailLogEntriesRequest,
    TailLogEntriesResponse,
)

from netra_loop.clock import SystemClock
from netra_loop.cloud.base import LogQuery
from netra_loop.cloud.google import CloudRun
from netra_loop.cloud.log_reads import ReadBudget
from netra_loop.errors import CloudCallFailed
from netra_loop.testing import FakeClock

AT = datetime(2026, 1, 1, tzinfo=UTC)
OPEN = "the stream stays open"
Code = grpc.StatusCode


class Server:
    """Answers each opening of a tail with the next of `streams`: responses, then how it ends. `listed` is what a list
    gives.
    """

    def __init__(self, *streams):
        self.streams = list(streams)
        self.listed = []
        self.asked = []
        self.tokens = []
        self.lists = 0
        self.ended = asyncio.Event()
        self.waiting = asyncio.Event()

    async def tail(self, requests, context):
        self.asked.append(await anext(aiter(requests)))
        self.tokens += [value for name, value in context.invocation_metadata() if name == "authorization"]
        *responses, end = self.streams.pop(0)
        try:
            for response in responses:
                yield response
            if end is OPEN:
                self.waiting.set()
                await asyncio.Event().wait()
            if end is not None:
                await context.abort(end, "so it goes")
        finally:
            self.ended.set()

    async def list(self, request, context):
        self.lists += 1
        return ListLogEntriesResponse(entries=self.listed)

    async def start(self):
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handlers = {
            "TailLogEntries": grpc.stream_stream_rpc_method_handler(
                self.tail, TailLogEntriesRequest.deserialize, TailLogEntriesResponse.serialize
            ),
            "ListLogEntries": grpc.unary_unary_rpc_method_handler(
                self.list, ListLogEntriesRequest.deserialize, ListLogEntriesResponse.serialize
            ),
        }
        name = "google.logging.v2.LoggingServiceV2"
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return f"http://127.0.0.1:{port}"

    async def stop(self):
        await self._server.stop(0)


def entry(text, second=0.0, **more):
    more.setdefault("insert_id", text)
    return LogEntry(
        text_payload=text,
        timestamp=AT + timedelta(seconds=second),
        log_name="projects/demo/logs/run.googleapis.com%2Fstdout",
        **more,
    )


def said(*texts, lost=0):
    response = TailLogEntriesResponse(entries=[one if isinstance(one, LogEntry) else entry(one) for one in texts])
    if lost:
        response.suppression_info.append(TailLogEntriesResponse.SuppressionInfo(suppressed_count=lost))
    return response


@pytest.fixture
async def follow():
    """Opens a tail on a server that says these streams; gives the server, and a way to take so many texts."""
    servers, clients = [], []

    async def following(*streams, reads=10_000, clock=None, on_wait=None, token=None):
        server = Server(*streams)
        servers.append(server)
        endpoint = await server.start()
        budget = ReadBudget(SystemClock(), reads)
        client = CloudRun(endpoint, "demo", "local", clock or FakeClock(), reads=budget, on_wait=on_wait, token=token)
        clients.append(client)
        return server, client

    yield following
    for client in clients:
        await client.close()
    for server in servers:
        await server.stop()


async def taken(client, count, missed=None, since=AT):
    """The first `count` texts that a tail gives."""
    texts = []
    async with aclosing(client.tail(LogQuery(("backend-00001-abc",), since), missed)) as tail:
        async for some in tail:
            texts += [one.message for one in some]
            if len(texts) >= count:
                break
    return texts


async def test_entries_come_as_they_are_told(follow):
    server, client = await follow([said("one", "two"), said("three"), OPEN])
    assert await taken(client, 3) == ["one", "two", "three"]
    (asked,) = server.asked
    assert asked.resource_names == ["projects/demo"]
    assert 'resource.labels.revision_name=("backend-00001-abc")' in asked.filter
    assert asked.buffer_window < timedelta(seconds=2)
    await server.ended.wait()  # nothing is held open


async def test_the_token_of_the_endpoint_is_sent(follow):
    server, client = await follow([said("one"), OPEN], token="open-sesame")
    assert await taken(client, 1) == ["one"]
    assert server.tokens == ["Bearer open-sesame"]
    await server.ended.wait()


@pytest.mark.parametrize(
    "end", [Code.OUT_OF_RANGE, Code.UNAVAILABLE, Code.INTERNAL, Code.DEADLINE_EXCEEDED, None], ids=str
)
async def test_a_stream_that_ends_is_opened_again_and_nothing_comes_twice(follow, end):
    server, client = await follow([said("one", "two"), end], [said("two", "three"), OPEN])
    assert await taken(client, 3) == ["one", "two", "three"]
    assert len(server.asked) == 2


async def test_what_came_between_two_streams_is_read_from_the_list(follow):
    server, client = await follow([said("one"), Code.UNAVAILABLE], [said("three"), OPEN])
    server.listed = [entry("one"), entry("two", 1)]
    assert await taken(client, 3) == ["one", "two", "three"]
    assert server.lists == 1


async def test_following_leaves_reads_to_those_who_judge(follow):
    server, client = await follow([said("one"), Code.UNAVAILABLE], [said("three"), OPEN], reads=15)
    server.listed = [entry("two")]
    assert await taken(client, 2) == ["one", "three"]
    assert server.lists == 0


@pytest.mark.parametrize("end", [Code.UNIMPLEMENTED, Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT], ids=str)
async def test_without_a_tail_pages_are_read(follow, end):
    server, client = await follow([end])
    server.listed = [entry("one"), entry("two")]
    assert await taken(client, 2) == ["one", "two"]
    assert len(server.asked) == 1


async def test_a_refusal_is_raised(follow):
    _, client = await follow([Code.PERMISSION_DENIED])
    with pytest.raises(CloudCallFailed, match="following log entries was refused with PERMISSION_DENIED"):
        await taken(client, 1)


async def test_credentials_are_renewed_once(follow):
    server, client = await follow([Code.UNAUTHENTICATED], [said("one"), OPEN])
    assert await taken(client, 1) == ["one"]
    server.streams += [[Code.UNAUTHENTICATED], [Code.UNAUTHENTICATED]]
    with pytest.raises(CloudCallFailed, match="UNAUTHENTICATED"):
        await taken(client, 1)


async def test_what_was_left_out_is_told(follow):
    _, client = await follow([said("one", lost=7), said("two", lost=2), OPEN])
    lost = []
    assert await taken(client, 2, lost.append) == ["one", "two"]
    assert lost == [7, 2]


async def test_pieces_are_put_together(follow):
    parts = [
        entry(text, number, split=LogSplit(uid="u", index=number, total_splits=2))
        for number, text in enumerate(["first and ", "second"])
    ]
    _, client = await follow([said(parts[0]), said("other"), said(parts[1]), OPEN])
    assert await taken(client, 2) == ["other", "first and second"]


async def test_long_waits_for_a_stream_are_told(follow):
    waits = []

    async def on_wait(why, seconds):
        waits.append((why, seconds))

    _, client = await follow(*[[Code.UNAVAILABLE]] * 12, [said("one"), OPEN], on_wait=on_wait)
    assert await taken(client, 1) == ["one"]
    assert waits
    assert all("UNAVAILABLE" in why and 1 <= seconds <= 30 for why, seconds in waits)


@pytest.mark.parametrize("knobs", [{}, {"drop_tail_after_s": 0.2}, {"tail_sessions": 0}], ids=str)
async def test_a_real_service_is_followed_whatever_becomes_of_the_stream(trouble, connect, ask, progress, knobs):
    client = connect(trouble.endpoint)
    made = (await client.deploy(ask(), progress)).revision
    trouble.turn(**knobs)
    clock = SystemClock()
    said = []

    async def look():
        async for some in client.tail(LogQuery((made.name,), clock.now())):
            said.extend(one.insert_id for one in some if one.message == "said")

    looking = asyncio.create_task(look())
    asked = 0
    async with asyncio.timeout(60):
        while len(said) < 3:
            await asyncio.to_thread(urllib.request.urlopen, f"{made.url}/say")
            asked += 1
            await clock.sleep(0.25)
    looking.cancel()
    await asyncio.wait({looking})
    assert len(set(said)) == len(said) <= asked
    calls = trouble.calls()
    assert (calls["TailLogEntries"] > 1) == ("drop_tail_after_s" in knobs)


@pytest.mark.parametrize("token", [None, "open-sesame"])
async def test_ending_leaves_nothing_behind(follow, token, caplog, capfd):
    server, client = await follow([said("one"), OPEN], [said("two"), OPEN], token=token)
    assert await taken(client, 1) == ["one"]
    server.waiting.clear()
    cancelled = asyncio.create_task(taken(client, 2))
    await server.waiting.wait()
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    await client.close()
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    assert caplog.records == []
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("token", [None, "open-sesame"])
async def test_streams_that_break_leave_nothing_behind(follow, token, caplog, capfd):
    broken = [[said(f"{number}"), Code.UNAVAILABLE] for number in range(3)]
    _, client = await follow([Code.UNAVAILABLE], *broken, [Code.RESOURCE_EXHAUSTED], token=token)
    assert await taken(client, 3) == ["0", "1", "2"]
    await client.close()
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    assert caplog.records == []
    assert capfd.readouterr().err == ""
