import grpc.aio
import httpx
import pytest

from netra_loop.cloud.embedded.rest import Rest

LOG = "projects/rest/logs/mine"


@pytest.fixture
async def http(turnable):
    """A client of the REST view of a running server."""
    rest = Rest(turnable.endpoint)
    await rest.open(0)
    async with httpx.AsyncClient(base_url=f"{rest.address}/v2", timeout=20) as client:
        yield client
    await rest.close()


@pytest.fixture
async def written(http):
    """Three entries in a log that is deleted afterwards."""
    entries = [{"textPayload": text, "severity": "INFO"} for text in "abc"] + [{"jsonPayload": {"n": 1}}]
    await http.post("/entries:write", json={"logName": LOG, "entries": entries})
    yield
    await http.delete(f"/{LOG}")


async def test_entries_are_listed_in_pages(http, written):
    asked = {"resourceNames": ["projects/rest"], "pageSize": 3, "orderBy": "timestamp desc"}
    first = (await http.post("/entries:list", json=asked)).json()
    second = (await http.post("/entries:list", json=asked | {"pageToken": first["nextPageToken"]})).json()
    assert [entry.get("textPayload") for entry in first["entries"] + second["entries"]] == [None, "c", "b", "a"]
    assert first["entries"][0]["jsonPayload"] == {"n": 1}
    assert first["entries"][1]["severity"] == "INFO"
    assert "nextPageToken" not in second


async def test_logs_are_listed_and_deleted(http, written):
    assert (await http.get("/projects/rest/logs")).json() == {"logNames": [LOG]}
    assert (await http.delete(f"/{LOG}")).json() == {}
    gone = await http.delete(f"/{LOG}")
    assert (gone.status_code, gone.json()["error"]["status"]) == (404, "NOT_FOUND")


async def test_a_quota_is_told_with_its_details(http, turnable):
    turnable.turn(read_quota_per_min=0)
    told = await http.post("/entries:list", json={"resourceNames": ["projects/rest"]})
    assert told.status_code == 429
    (detail,) = told.json()["error"]["details"]
    assert detail["@type"] == "type.googleapis.com/google.rpc.ErrorInfo"
    assert detail["reason"] == "RATE_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("verb", "path", "body", "status"),
    [
        ("POST", "/entries:list", b"{", 400),
        ("POST", "/entries:list", b"[]", 400),
        ("POST", "/entries:list", b'{"nope": 1}', 400),
        ("POST", "/entries:list", b'{"resourceNames": ["projects/p"], "filter": "("}', 400),
        ("GET", "/entries:list", b"", 405),
        ("DELETE", "/projects/p/locations/l/services/s", b"", 405),
        ("GET", "/projects/p/locations/l/services/s", b"", 404),
        ("GET", "/projects/p/locations/l/operations/o", b"", 404),
        ("GET", "/nowhere", b"", 404),
    ],
)
async def test_what_cannot_be_answered_says_so_as_google_does(http, verb, path, body, status):
    told = await http.request(verb, path, content=body)
    error = told.json()["error"]
    assert (told.status_code, error["code"]) == (status, status)
    assert error["message"]


@pytest.mark.parametrize("header", [{"Origin": "http://evil.example"}, {"Host": "evil.example:80"}])
async def test_pages_of_a_browser_are_turned_away(http, header):
    assert (await http.get("/projects/rest/logs", headers=header)).status_code == 403


async def test_a_port_that_is_taken_is_told(http):
    with pytest.raises(OSError, match="in use"):
        await Rest("unix:/nowhere").open(http.base_url.port)


async def test_a_server_that_is_gone_is_a_503():
    rest = Rest("unix:/nowhere/cloud.sock")
    await rest.open(0)
    async with httpx.AsyncClient() as client:
        told = await client.get(f"{rest.address}/v2/projects/rest/logs")
    assert told.json()["error"]["status"] == grpc.StatusCode.UNAVAILABLE.name
    assert told.status_code == 503
    await rest.close()
