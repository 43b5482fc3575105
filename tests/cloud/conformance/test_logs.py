"""What log entries are, wherever: written, found, in order, in pages, tailed, and what is refused."""

import asyncio
import secrets
import uuid
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from google.api_core import exceptions
from google.cloud.logging_v2.types import ListLogEntriesRequest, LogEntry, WriteLogEntriesRequest

from netra_loop.clock import SystemClock
from netra_loop.cloud.base import LogQuery


async def ask(url):
    """One request, and the trace it goes under."""
    trace = secrets.token_hex(16)
    async with httpx.AsyncClient(timeout=60) as http:
        await http.get(url, headers={"traceparent": f"00-{trace}-{trace[:16]}-01"})
    return trace


async def until(place, look):
    """What `look` finds, once it finds something: entries come late."""
    clock = SystemClock()
    async with asyncio.timeout(place.patience_s):
        while not (found := await look()):
            await clock.sleep(0.05 if place.endpoint else 5.0)
    return found


def query_of(revision, **more):
    return LogQuery((revision.name,), datetime.now(UTC) - timedelta(minutes=10), **more)


async def test_a_request_is_in_the_log_under_its_trace_and_its_revision(cloud, place, service, progress):
    revision = (await cloud.deploy(place.request(service), progress)).revision
    trace = await ask(revision.url)

    async def look():
        pages = cloud.entries(query_of(revision, services=(service,), traces=(trace,)))
        return [entry async for page in pages for entry in page.entries]

    (entry,) = await until(place, look)
    assert (entry.log, entry.service, entry.revision, entry.trace_id) == ("requests", service, revision.name, trace)
    assert (entry.request["method"], entry.request["status"]) == ("GET", 200)


async def test_pages_make_up_the_whole_in_order(cloud, place, service, progress):
    revision = (await cloud.deploy(place.request(service), progress)).revision
    trace = await ask(revision.url)

    async def read(size):
        return [entry async for page in cloud.entries(query_of(revision, page_size=size)) for entry in page.entries]

    async def look():
        return any(entry.trace_id == trace for entry in await read(1000))

    await until(place, look)
    small, whole = await read(2), await read(1000)
    assert [entry.insert_id for entry in small] == [entry.insert_id for entry in whole][: len(small)]
    assert [entry.timestamp for entry in whole] == sorted(entry.timestamp for entry in whole)
    assert len({(entry.timestamp, entry.insert_id) for entry in whole}) == len(whole)


async def test_a_tail_tells_of_a_request_while_it_is_open(cloud, place, service, progress):
    revision = (await cloud.deploy(place.request(service), progress)).revision

    async def first(trace):
        async with aclosing(cloud.tail(query_of(revision, services=(service,)))) as tail:
            async for entries in tail:
                if any(entry.trace_id in trace for entry in entries):
                    return

    traces = set()
    async with asyncio.timeout(place.patience_s):
        listening = asyncio.create_task(first(traces))
        while not listening.done():  # a tail says nothing of when it is open
            traces.add(await ask(revision.url))
            await asyncio.wait({listening}, timeout=0.2)
    await listening


@pytest.fixture
async def logging(place):
    return (await place.link()).logging


@pytest.fixture
async def written(logging, place):
    """The filter of three entries, texts a, b and c, of which b and c share time and insert id."""
    name = f"projects/{place.project}/logs/netra-loop-{uuid.uuid4().hex[:12]}"
    now = datetime.now(UTC)
    entries = [
        LogEntry(text_payload="a", timestamp=now, insert_id="1", severity="INFO", labels={"Key": "V"}),
        LogEntry(text_payload="b", timestamp=now, insert_id="2", severity="ERROR"),
        LogEntry(text_payload="c", timestamp=now + timedelta(microseconds=1), insert_id="1"),
        LogEntry(text_payload="c", timestamp=now + timedelta(microseconds=1), insert_id="1"),
    ]
    await logging.write_log_entries(WriteLogEntriesRequest(log_name=name, entries=entries), timeout=30)
    asked = f'logName="{name}"'

    async def look():
        return len(await texts(logging, place, asked)) >= 3

    await until(place, look)
    yield asked
    await logging.delete_log(log_name=name, timeout=30)


def question(place, text, **more):
    return ListLogEntriesRequest(resource_names=[f"projects/{place.project}"], filter=text, **more)


async def texts(logging, place, text, **more):
    pager = await logging.list_log_entries(question(place, text, **more), timeout=30)
    return "".join([entry.text_payload async for entry in pager])


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", "abc"),
        ("severity>=ERROR", "b"),
        ("severity=ERROR OR textPayload=A AND NOT textPayload=b", "a"),
        ('labels.Key="v"', "a"),
        ('labels.key="v"', ""),
        ("labels.Key:*", "a"),
        ('NOT labels.Key="other"', "abc"),
        ('labels.Key!="other"', "a"),
        ('textPayload=~"^[ab]$"', "ab"),
        ('textPayload=("a" OR "c")', "ac"),
        ("-severity=INFO -- a comment", "bc"),
    ],
)
async def test_the_query_language_means_the_same(logging, place, written, asked, expected):
    assert await texts(logging, place, f"{written}\n{asked}") == expected
    assert await texts(logging, place, f"{written}\n{asked}", order_by="timestamp desc") == expected[::-1]


@pytest.mark.parametrize(
    ("asked", "more"),
    [
        ("nothing.like.this=1", {}),
        ("severity>=", {}),
        ('textPayload=~"("', {}),
        ("", {"page_size": 1001}),
        ("", {"order_by": "severity"}),
        ("", {"page_token": "bm9uZQ=="}),
    ],
    ids=str,
)
async def test_a_question_that_is_none_is_refused(logging, place, asked, more):
    with pytest.raises(exceptions.InvalidArgument):
        await logging.list_log_entries(question(place, asked, **more), timeout=30)


@pytest.mark.parametrize(
    "entry",
    [
        {"text_payload": "x" * 300_000},
        {"text_payload": "x", "timestamp": datetime.now(UTC) + timedelta(hours=25)},
    ],
    ids=["too large", "too far ahead"],
)
async def test_an_entry_that_cannot_be_is_refused(logging, place, entry):
    name = f"projects/{place.project}/logs/netra-loop-refused"
    with pytest.raises(exceptions.InvalidArgument):
        await logging.write_log_entries(WriteLogEntriesRequest(log_name=name, entries=[entry]), timeout=30)
