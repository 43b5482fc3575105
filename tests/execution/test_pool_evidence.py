"""What a test left behind, seen from outside: peers, exchanges, frames, trace ids, replaced clients."""

from __future__ import annotations

import contextlib
import json
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from netra_loop.core.authenticity import assess
from netra_loop.core.records import Authenticity, Evidence, Outcome


class Backend:
    """A server of HTTP and of WebSockets that remembers the traceparent of each request."""

    def __init__(self) -> None:
        self.seen: dict[str, str | None] = {}
        backend = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                backend.seen[self.path] = self.headers["traceparent"]
                status = 503 if "broken" in self.path else 200
                body = b"out of order" if status == 503 else b"x" * 100
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.ws: Server = serve(self._talk, "127.0.0.1", 0, process_request=self._refuse)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.ws_url = f"ws://127.0.0.1:{self.ws.socket.getsockname()[1]}"
        for server in (self.http, self.ws):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @staticmethod
    def _refuse(connection: ServerConnection, request: Any) -> Any:
        return connection.respond(401, "who are you?") if "refused" in request.path else None

    def _talk(self, connection: ServerConnection) -> None:
        path = connection.request.path
        self.seen[path] = connection.request.headers.get("traceparent")
        connection.send(json.dumps({"type": "connection_established"}))
        if "polite" in path:
            connection.recv()
            connection.send(b"12345")
            connection.recv()
        if "silent" in path:
            with contextlib.suppress(ConnectionClosed):
                for _ in connection:
                    pass
        if "crash" in path:
            connection.close(1011, "internal error")
        if "cut" in path:
            connection.socket.shutdown(2)

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.ws.shutdown()


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.close()


async def look(suite: Any, backend: Backend, body: str, **options: Any) -> dict[str, tuple[str, Evidence]]:
    """Runs the tests of `body`, which finds URL and WS; the trace id and evidence of each."""
    head = f"URL, WS = {backend.url!r}, {backend.ws_url!r}\n"
    (suite.root / "test_talk.py").write_text(head + textwrap.dedent(body))
    ran = await suite.run(**{"workers": 1, **options})
    bad = {event.id: event.traceback for event in ran.finished if event.outcome != "passed"}
    assert bad == {}
    return {event.id.split("::")[1]: (event.trace_id, event.evidence) for event in ran.finished}


CLIENTS = """
    import http.client, threading, urllib.request
    import pytest

    def test_silent(): pass
    def test_urllib():
        urllib.request.urlopen(URL + "/urllib").read()
    def test_httpx():
        import httpx
        httpx.get(URL + "/httpx")
    def test_requests():
        import requests
        requests.get(URL + "/requests")
    def test_thread():
        thread = threading.Thread(target=lambda: urllib.request.urlopen(URL + "/thread").read())
        thread.start()
        thread.join()
    def test_async_httpx():
        import asyncio, httpx
        async def go():
            async with httpx.AsyncClient() as client:
                await client.get(URL + "/async_httpx")
        asyncio.run(go())
    """


@pytest.mark.parametrize("name", ["urllib", "httpx", "requests", "thread", "async_httpx"])
async def test_clients(suite, backend, name):
    only = f"test_{name}"
    seen = await look(suite, backend, CLIENTS, only=lambda test: test.endswith("::" + only))
    trace, evidence = seen[only]
    (contact,) = evidence.contacts
    assert (contact.host, contact.port) == ("127.0.0.1", backend.http.server_address[1])
    assert contact.sent > 50
    assert contact.received > 100
    assert contact.first_at <= contact.last_at
    (exchange,) = evidence.exchanges
    assert (exchange.method, exchange.url, exchange.status) == ("GET", f"{backend.url}/{name}", 200)
    assert 0 < exchange.duration_s < 20
    assert backend.seen[f"/{name}"] == f"00-{trace}-{1:016x}-01"
    assert evidence.mocked == ()


async def test_a_silent_test_leaves_nothing(suite, backend):
    seen = await look(suite, backend, CLIENTS, only=lambda test: test.endswith("test_silent"))
    assert seen["test_silent"][1] == Evidence()


async def test_errors_refusals_and_own_headers(suite, backend):
    seen = await look(
        suite,
        backend,
        """
        import httpx, pytest, urllib.error, urllib.request
        def test_broken_httpx(): assert httpx.get(URL + "/broken/httpx").status_code == 503
        def test_broken_urllib():
            with pytest.raises(urllib.error.HTTPError) as caught: urllib.request.urlopen(URL + "/broken/urllib")
            caught.value.read()
            caught.value.close()
        def test_refused():
            with pytest.raises(httpx.ConnectError): httpx.get("http://127.0.0.1:9/")
        def test_own(): httpx.get(URL + "/own", headers={"Traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
        """,
    )
    for client in ("httpx", "urllib"):
        (exchange,) = seen[f"test_broken_{client}"][1].exchanges
        assert (exchange.status, exchange.body) == (503, "out of order")
    refused = seen["test_refused"][1]
    assert refused.exchanges[0].status is None
    assert "refused" in refused.exchanges[0].error
    assert [(contact.port, contact.sent, contact.received) for contact in refused.contacts] == [(9, 0, 0)]
    assert backend.seen["/own"] == "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def test_a_connection_kept_alive_by_a_session_fixture_counts_for_each_test_that_uses_it(suite, backend):
    seen = await look(
        suite,
        backend,
        """
        import httpx, pytest
        @pytest.fixture(scope="session")
        def client():
            with httpx.Client(base_url=URL) as client: yield client
        def test_first(client): client.get("/kept/1")
        def test_second(client): client.get("/kept/2")
        def test_idle(client): pass
        """,
    )
    assert [seen[name][1].contacts[0].received > 100 for name in ("test_first", "test_second")] == [True, True]
    assert seen["test_idle"][1].contacts == ()
    assert backend.seen["/kept/2"].startswith("00-" + seen["test_second"][0])


async def test_a_name_is_remembered(suite, backend):
    seen = await look(
        suite, backend, "import httpx\ndef test_name(): httpx.get(URL.replace('127.0.0.1', 'localhost') + '/name')\n"
    )
    assert "localhost" in {contact.host for contact in seen["test_name"][1].contacts if contact.received}


@pytest.mark.parametrize("client", ["sync", "asyncio"])
async def test_websockets(suite, backend, client):
    sync = """
        from websockets.sync.client import connect
        from websockets.exceptions import ConnectionClosed
        import json, pytest
        def test_polite():
            with connect(WS + "/polite") as socket:
                socket.recv()
                socket.send(json.dumps({"type": "start_agent", "payload": 1}))
                socket.recv()
        def test_crash():
            with connect(WS + "/crash") as socket:
                socket.recv()
                with pytest.raises(ConnectionClosed): socket.recv()
        def test_cut():
            with connect(WS + "/cut") as socket:
                socket.recv()
                with pytest.raises(ConnectionClosed): socket.recv()
        """
    asynchronous = """
        from websockets.asyncio.client import connect
        from websockets.exceptions import ConnectionClosed
        import asyncio, json, pytest
        def talk(path, send=None, fails=False):
            async def go():
                async with connect(WS + path) as socket:
                    await socket.recv()
                    if send: await socket.send(send)
                    if fails:
                        with pytest.raises(ConnectionClosed): await socket.recv()
                    else:
                        await socket.recv()
            asyncio.run(go())
        def test_polite(): talk("/polite", send=json.dumps({"type": "start_agent", "payload": 1}))
        def test_crash(): talk("/crash", fails=True)
        def test_cut(): talk("/cut", fails=True)
        """
    seen = await look(suite, backend, sync if client == "sync" else asynchronous)

    def life(name: str) -> list[tuple[object, ...]]:
        return [
            (frame.kind, frame.direction, frame.event or frame.code or frame.size) for frame in seen[name][1].frames
        ]

    opened = [("open", "received", 0), ("text", "received", "connection_established")]
    assert life("test_polite") == [
        *opened,
        ("text", "sent", "start_agent"),
        ("binary", "received", 5),
        ("close", "sent", 1000),
    ]
    assert life("test_crash") == [*opened, ("close", "received", 1011)]
    assert life("test_cut") == [*opened, ("close", "received", 1006)]
    trace, evidence = seen["test_polite"]
    assert evidence.frames[0].url == f"{backend.ws_url}/polite"
    assert [(exchange.url, exchange.status) for exchange in evidence.exchanges] == [(f"{backend.ws_url}/polite", 101)]
    assert evidence.contacts[0].received > 0
    assert backend.seen["/polite"].split("-")[1] == trace


async def test_replaced_clients_are_seen_and_other_patches_are_not(suite, backend):
    seen = await look(
        suite,
        backend,
        """
        import json, os, socket, unittest.mock
        import httpx
        def test_patched():
            with unittest.mock.patch("httpx.Client.get", return_value=None): httpx.Client().get(URL)
        def test_monkeypatched(monkeypatch): monkeypatch.setattr(httpx, "get", lambda url: None)
        def test_by_name(monkeypatch): monkeypatch.setattr("socket.create_connection", lambda *args: None)
        @unittest.mock.patch("httpx.HTTPTransport.handle_request")
        def test_decorated(handle): handle.return_value = httpx.Response(200); httpx.get(URL)
        def test_innocent(monkeypatch):
            monkeypatch.setattr(os, "getcwd", lambda: "/")
            monkeypatch.setenv("A", "b")
            with unittest.mock.patch("json.dumps"): pass
        """,
    )
    mocked = {name: evidence.mocked for name, (_, evidence) in seen.items()}
    assert mocked == {
        "test_patched": ("Client.get (unittest.mock)",),
        "test_monkeypatched": ("httpx.get (monkeypatch)",),
        "test_by_name": ("socket.create_connection (monkeypatch)",),
        "test_decorated": (
            "HTTPTransport.handle_request (unittest.mock)",
            "httpx.HTTPTransport (answered without the network)",
        ),
        "test_innocent": (),
    }


HUNG = """
    import os, threading, time, urllib.request
    import pytest
    from websockets.sync.client import connect

    def hang_after_talking(path):
        urllib.request.urlopen(URL + "/before" + path).read()
        with connect(WS + path) as socket:
            socket.recv()
            socket.send('{"type": "start_agent"}')
            socket.recv()
    def test_timeout(): hang_after_talking("/silent")
    def test_crash():
        threading.Timer(0.5, os._exit, (3,)).start()
        hang_after_talking("/silent")
    @pytest.fixture
    def slow_to_leave():
        yield
        time.sleep(600)
    def test_teardown(slow_to_leave): urllib.request.urlopen(URL + "/teardown").read()
    def test_socket():
        import socket
        with socket.create_connection((URL.split("/")[2].split(":")[0], int(URL.rpartition(":")[2]))) as raw:
            raw.sendall(b"GET /raw HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
            raw.recv(100)
            time.sleep(600)
    def test_fork():
        import multiprocessing
        process = multiprocessing.get_context("fork").Process(target=hang_after_talking, args=("/silent",))
        process.start()
        process.join()
    def test_pending():
        import socket
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            urllib.request.urlopen(f"http://127.0.0.1:{deaf.getsockname()[1]}/pending")
    """


async def test_a_killed_test_leaves_what_it_had_done(suite, backend):
    (suite.root / "test_hung.py").write_text(f"URL, WS = {backend.url!r}, {backend.ws_url!r}\n" + textwrap.dedent(HUNG))
    ran = await suite.run(workers=6, timeout_s=2.5)
    assert ran.outcomes() == {
        "test_timeout": "timeout",
        "test_crash": "crashed",
        "test_teardown": "passed",
        "test_socket": "timeout",
        "test_fork": "timeout",
        "test_pending": "timeout",
    }
    (raw,) = ran.of("test_socket").evidence.contacts
    assert min(raw.sent, raw.received) > 0
    for name in ("test_timeout", "test_crash", "test_fork"):
        evidence = ran.of(name).evidence
        assert [(frame.kind, frame.direction, frame.event) for frame in evidence.frames] == [
            ("open", "received", None),
            ("text", "received", "connection_established"),
            ("text", "sent", "start_agent"),
        ]
        assert [exchange.status for exchange in evidence.exchanges] == [200, 101]
        peers = {contact.port: contact for contact in evidence.contacts}
        talked = peers[backend.http.server_address[1]]
        assert min(talked.sent, talked.received) > 100
    (contact,) = ran.of("test_teardown").evidence.contacts
    assert contact.received > 100
    (pending,) = ran.of("test_pending").evidence.exchanges
    assert (pending.status, pending.url.endswith("/pending")) == (None, True)


async def test_a_refused_upgrade_closes_nothing(suite, backend):
    seen = await look(
        suite,
        backend,
        """
        import asyncio, pytest
        from websockets.exceptions import InvalidStatus
        def test_sync():
            from websockets.sync.client import connect
            with pytest.raises(InvalidStatus): connect(WS + "/refused")
        def test_asyncio():
            from websockets.asyncio.client import connect
            async def go():
                with pytest.raises(InvalidStatus): await connect(WS + "/refused")
            asyncio.run(go())
        """,
    )
    hosts = [("127.0.0.1", backend.ws.socket.getsockname()[1])]
    for _, evidence in seen.values():
        assert evidence.frames == ()
        assert [(one.url, one.status) for one in evidence.exchanges] == [(f"{backend.ws_url}/refused", 401)]
        assert assess(Outcome.PASSED, evidence, 0.1, hosts) == (Authenticity.REAL, ())


async def test_threads_and_forks_of_a_test_do_not_disturb_the_telling(suite, backend):
    seen = await look(
        suite,
        backend,
        """
        import os, threading, urllib.request
        def get(path): urllib.request.urlopen(URL + path).read()
        def test_busy():
            threads = [threading.Thread(target=lambda: [get("/busy") for _ in range(20)]) for _ in range(4)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            child = os.fork()
            if child == 0:
                try:
                    get("/child")
                    os._exit(7)
                finally:
                    os._exit(8)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        def test_next(): get("/next")
        """,
    )
    assert [one.status for one in seen["test_busy"][1].exchanges] == [200] * 81  # the fork's is the test's
    assert [one.url for one in seen["test_next"][1].exchanges] == [f"{backend.url}/next"]
    assert "/child" in backend.seen
