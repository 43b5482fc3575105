import functools
from datetime import UTC, datetime, timedelta

import pytest
from google.cloud.logging_v2.types import (
    DeleteLogRequest,
    ListLogEntriesRequest,
    ListLogsRequest,
    LogEntry,
    WriteLogEntriesRequest,
)
from google.rpc import error_details_pb2, status_pb2

from netra_loop.cloud.embedded.knobs import KnobFile, set_knobs
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.logging_api import LoggingApi
from netra_loop.cloud.embedded.refusals import Refused

LOG = "projects/demo/logs/mine"


@pytest.fixture
def api(tmp_path):
    store = LogStore(tmp_path / "entries.db")
    yield LoggingApi(store, KnobFile(tmp_path))
    store.close()


@pytest.fixture
def turn(tmp_path):
    """Turns knobs of the server's folder."""
    return functools.partial(set_knobs, tmp_path)


def question(**changes):
    return ListLogEntriesRequest({"resource_names": ["projects/demo"], **changes})


async def write(api, *texts, log=LOG):
    entries = [LogEntry(text_payload=text) for text in texts]
    await api.write_entries(WriteLogEntriesRequest(log_name=log, labels={"by": "test"}, entries=entries))


async def test_what_was_written_is_listed(api):
    await write(api, "one", "two")
    answer = await api.list_entries(question(filter='labels.by="test"'))
    assert [entry.text_payload for entry in answer.entries] == ["one", "two"]
    assert answer.entries[0].resource.type == "global"
    assert len(answer.entries[0].insert_id) == 24


async def test_entries_of_another_project_are_not(api):
    await write(api, "theirs", log="projects/other/logs/mine")
    assert list((await api.list_entries(question())).entries) == []


async def test_tokens_lead_through_all_pages(api):
    await write(api, *"abcde")
    found, token = [], ""
    while True:
        answer = await api.list_entries(question(page_size=2, page_token=token))
        found += [entry.text_payload for entry in answer.entries]
        token = answer.next_page_token
        if not token:
            break
    assert found == list("abcde")


async def test_fifty_entries_are_a_page_unless_asked_otherwise(api):
    await write(api, *["x"] * 60)
    assert len((await api.list_entries(question())).entries) == 50


async def test_a_token_goes_with_its_question(api):
    await write(api, *"abc")
    token = (await api.list_entries(question(page_size=1))).next_page_token
    with pytest.raises(Refused, match="another filter"):
        await api.list_entries(question(page_token=token, filter="a"))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"resource_names": []}, "resource_names"),
        ({"page_size": 1001}, "page_size is 1001"),
        ({"page_size": -1}, "page_size is -1"),
        ({"order_by": "severity"}, "order_by is 'severity'"),
        ({"filter": "severity>="}, "unparseable filter"),
        ({"page_token": "nonsense"}, "was not made here"),
    ],
)
async def test_bad_questions_are_refused(api, changes, complaint):
    with pytest.raises(Refused, match=complaint) as caught:
        await api.list_entries(question(**changes))
    assert caught.value.code.name == "INVALID_ARGUMENT"


async def test_a_bad_entry_refuses_all(api):
    with pytest.raises(Refused, match="log_name is 'mine'"):
        await write(api, "one", log="mine")
    assert list((await api.list_entries(question())).entries) == []


# ------------------------------------------------------------------------------------------- pages as Google's may be


async def pages(api, **changes):
    """The texts of each page."""
    found, token = [], ""
    while True:
        answer = await api.list_entries(question(page_token=token, **changes))
        found.append("".join(entry.text_payload for entry in answer.entries))
        token = answer.next_page_token
        if not token:
            return found


async def test_empty_pages_come_before_each_that_is_not(api, turn):
    await write(api, *"abc")
    turn(empty_pages=2)
    assert await pages(api, page_size=2) == ["", "", "ab", "", "", "c"]


async def test_a_page_may_hold_an_entry_of_the_page_before(api, turn):
    await write(api, *"abcd")
    turn(duplicate_entries=True)
    assert await pages(api, page_size=2) == ["ab", "bc", "cd"]


async def test_the_newest_come_first_where_asked(api):
    await write(api, *"abc")
    assert await pages(api, page_size=2, order_by="timestamp desc") == ["cb", "a"]


async def test_an_old_token_is_refused(api, turn):
    await write(api, *"abc")
    token = (await api.list_entries(question(page_size=1))).next_page_token
    turn(page_token_ttl_s=0)
    with pytest.raises(Refused, match="page_token is too old"):
        await api.list_entries(question(page_size=1, page_token=token))


async def test_a_used_up_quota_says_which_and_how_large(api, turn):
    turn(read_quota_per_min=2)
    for _ in range(2):
        await api.list_entries(question())
    with pytest.raises(Refused, match="Quota exceeded") as caught:
        await api.list_entries(question())
    assert caught.value.code.name == "RESOURCE_EXHAUSTED"
    ((key, value),) = caught.value.trailing()
    info = error_details_pb2.ErrorInfo()
    assert key == "grpc-status-details-bin"
    assert status_pb2.Status.FromString(value).details[0].Unpack(info)
    assert info.reason == "RATE_LIMIT_EXCEEDED"
    assert info.metadata["quota_limit"] == "ReadRequestsPerMinutePerProject"
    assert info.metadata["quota_limit_value"] == "2"


# ------------------------------------------------------------------------------------------- what is not stored


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ({"text_payload": "x" * 300_000}, "Log entry with size 293.0K exceeds maximum size of 256.0K"),
        ({"labels": {f"l{number}": "" for number in range(65)}}, "65 labels"),
        ({"timestamp": datetime.now(UTC) + timedelta(hours=25)}, "at most 24 hours ahead"),
    ],
)
async def test_what_google_refuses_is_refused(api, entry, complaint):
    asked = WriteLogEntriesRequest(log_name=LOG, entries=[entry, {"text_payload": "good"}])
    with pytest.raises(Refused, match=complaint):
        await api.write_entries(asked)
    assert await pages(api) == [""]
    asked.partial_success = True
    with pytest.raises(Refused, match=complaint):
        await api.write_entries(asked)
    assert await pages(api) == ["good"]


async def test_what_is_older_than_a_month_is_forgotten(api):
    old = LogEntry(text_payload="old", timestamp=datetime.now(UTC) - timedelta(days=31))
    await api.write_entries(WriteLogEntriesRequest(log_name=LOG, entries=[old]))
    assert await pages(api) == [""]


async def test_long_labels_are_cut(api):
    entry = LogEntry(text_payload="x", labels={"k" * 600: "v" * 70_000})
    await api.write_entries(WriteLogEntriesRequest(log_name=LOG, entries=[entry]))
    (stored,) = (await api.list_entries(question())).entries
    ((key, value),) = stored.labels.items()
    assert (len(key.encode()), len(value.encode())) == (512, 65536)
    assert key.endswith("…")
    assert value.endswith("…")


async def test_logs_are_listed_in_pages_and_deleted(api):
    for name in "abc":
        await write(api, "x", log=f"projects/demo/logs/{name}")
    first = await api.list_logs(ListLogsRequest(parent="projects/demo", page_size=2))
    rest = await api.list_logs(ListLogsRequest(parent="projects/demo", page_size=2, page_token=first.next_page_token))
    assert [*first.log_names, *rest.log_names] == [f"projects/demo/logs/{name}" for name in "abc"]
    await api.delete_log(DeleteLogRequest(log_name="projects/demo/logs/a"))
    with pytest.raises(Refused, match="does not exist"):
        await api.delete_log(DeleteLogRequest(log_name="projects/demo/logs/a"))
