import asyncio
import functools

import pytest
from google.cloud.logging_v2.types import LogEntry, TailLogEntriesRequest, WriteLogEntriesRequest

from netra_loop.cloud.embedded.knobs import KnobFile, set_knobs
from netra_loop.cloud.embedded.log_pages import ReadQuota
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.log_tail import Tails
from netra_loop.cloud.embedded.logging_api import LoggingApi
from netra_loop.cloud.embedded.refusals import Refused


@pytest.fixture
def api(tmp_path):
    store = LogStore(tmp_path / "entries.db")
    yield LoggingApi(store, KnobFile(tmp_path))
    store.close()


@pytest.fixture
def turn(tmp_path):
    return functools.partial(set_knobs, tmp_path)


def opened(api, window_s=0, **changes):
    """A tail whose caller says nothing after its first request."""

    async def requests():
        yield TailLogEntriesRequest(
            {"resource_names": ["projects/demo"], "buffer_window": {"seconds": window_s}, **changes}
        )

    return api.tails.tail(requests())


async def begun(api, **changes):
    """The tail, and its next response on the way."""
    tail = opened(api, **changes)
    coming = asyncio.create_task(anext(tail))
    await asyncio.sleep(0)
    return tail, coming


async def write(api, *texts):
    entries = [LogEntry(text_payload=text) for text in texts]
    await api.write_entries(WriteLogEntriesRequest(log_name="projects/demo/logs/mine", entries=entries))


def texts(response):
    return [entry.text_payload for entry in response.entries]


async def test_what_is_written_comes(api):
    await write(api, "before")
    tail, coming = await begun(api, filter='textPayload!="unwanted"')
    await write(api, "one", "unwanted", "two")
    assert texts(await coming) == ["one", "two"]
    await write(api, "three")
    assert texts(await anext(tail)) == ["three"]
    await tail.aclose()


async def test_it_ends_after_its_longest_time(api, turn):
    turn(drop_tail_after_s=0)
    with pytest.raises(Refused, match="longest duration") as caught:
        await anext(opened(api))
    assert caught.value.code.name == "OUT_OF_RANGE"


async def test_it_ends_before_the_server_does(api):
    _, coming = await begun(api)
    api.close()
    with pytest.raises(Refused, match="going away") as caught:
        await coming
    assert caught.value.code.name == "UNAVAILABLE"


async def test_so_many_are_open_at_a_time(api, turn):
    turn(tail_sessions=1)
    first, coming = await begun(api)
    with pytest.raises(Refused, match="1 tails are open") as caught:
        await anext(opened(api))
    assert caught.value.code.name == "RESOURCE_EXHAUSTED"
    await write(api, "x")
    await coming
    await first.aclose()
    _, coming = await begun(api)
    await write(api, "y")
    assert texts(await coming) == ["y"]


async def test_what_nobody_took_is_counted(tmp_path):
    store, knobs = LogStore(tmp_path / "others.db"), KnobFile(tmp_path)
    few = LoggingApi(store, knobs)
    few.tails = Tails(store, knobs, ReadQuota(), most_held=2)
    tail, coming = await begun(few)
    await write(few, *"abcde")
    response = await coming
    assert texts(response) == ["a", "b"]
    (lost,) = response.suppression_info
    assert (lost.reason.name, lost.suppressed_count) == ("NOT_CONSUMED", 3)
    await tail.aclose()
    store.close()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"window_s": 61}, "buffer_window is 61 s"),
        ({"filter": "foo=1"}, "'foo' is no field"),
        ({"resource_names": []}, "resource_names is empty"),
        ({"resource_names": ["folders/1"]}, "'folders/1'"),
    ],
)
async def test_refuses(api, changes, complaint):
    with pytest.raises(Refused, match=complaint):
        await anext(opened(api, **changes))
