import pytest
from google.cloud.logging_v2.types import ListLogEntriesRequest, LogEntry, WriteLogEntriesRequest

from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.logging_api import LoggingApi
from netra_loop.cloud.embedded.refusals import Refused

LOG = "projects/demo/logs/mine"


@pytest.fixture
def api(tmp_path):
    store = LogStore(tmp_path / "entries.db")
    yield LoggingApi(store)
    store.close()


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
