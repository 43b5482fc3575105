"""Where a service is reached: a loopback port for each service and each tag, and a log entry for each request."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any, Protocol

import h11

from netra_loop.cloud.embedded import proxy
from netra_loop.cloud.embedded.access import Turned
from netra_loop.cloud.embedded.fleet import NoInstance
from netra_loop.cloud.embedded.instance import Instance, Launch, StartFailed
from netra_loop.cloud.embedded.peer import LONGEST_HEAD, Peer
from netra_loop.cloud.embedded.recorder import Origin, Recorder
from netra_loop.cloud.embedded.trace import Trace, trace_of
from netra_loop.values import dataclass

_WAITING_CLIENTS = 1024


@dataclass(frozen=True)
class Route:
    """The revision that a request goes to."""

    revision: str
    launch: Launch


class Backend(Protocol):
    """What knows where a request goes."""

    def route(self, service: str, tag: str) -> Route | None:
        """The revision for one request, by traffic or by tag; None where nothing serves."""
        ...

    def turned(self, service: str, authorization: str | None) -> Turned | None:
        """Why a request with this header is turned away; None where it is let in."""
        ...

    async def instance(self, route: Route) -> Instance:
        """One of its instances, up and with a place taken for one request. Raises StartFailed, NoInstance."""
        ...


class Fronts:
    """All ports."""

    def __init__(self, backend: Backend, recorder: Recorder) -> None:
        self._backend = backend
        self._recorder = recorder
        self._servers: dict[tuple[str, str], asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self, service: str, tag: str, wanted: int | None) -> int:
        """The port of this service and tag; `wanted` where it is free, else another. Safe to repeat."""
        server = self._servers.get((service, tag))
        if server is None:
            server = await self._listen(service, tag, wanted)
            self._servers[service, tag] = server
        port: int = server.sockets[0].getsockname()[1]
        return port

    def close(self, service: str, tag: str) -> None:
        """Takes no more connections for it; those that are open go on."""
        server = self._servers.pop((service, tag), None)
        if server is not None:
            server.close()

    async def close_all(self) -> None:
        """Ends every port and every connection."""
        for service, tag in list(self._servers):
            self.close(service, tag)
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _listen(self, service: str, tag: str, wanted: int | None) -> asyncio.Server:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(service, tag, Peer(reader, writer, h11.SERVER))

        for port in (wanted or 0, 0):
            with contextlib.suppress(OSError):
                return await asyncio.start_server(
                    serve, "127.0.0.1", port, backlog=_WAITING_CLIENTS, limit=2 * LONGEST_HEAD
                )
        return await asyncio.start_server(serve, "127.0.0.1", 0)

    async def _serve(self, service: str, tag: str, client: Peer) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            while await self._serve_one(service, tag, client):
                client.http.start_next_cycle()
                client.received = client.sent = 0
        except OSError:
            client.abort()
        except asyncio.CancelledError:
            client.abort()
            if not self._servers:  # the server ends: nobody else waits for this task
                return
            raise
        finally:
            await client.close()

    async def _serve_one(self, service: str, tag: str, client: Peer) -> bool:
        """One request; whether the connection can take another."""
        try:
            request = await client.next_event()
        except h11.RemoteProtocolError as error:
            await proxy.refuse(client, error.error_status_hint, f"Bad Request: {error}")
            return False
        if not isinstance(request, h11.Request):
            return False
        route = self._backend.route(service, tag)
        if route is None:
            await proxy.refuse(client, 503, "Service Unavailable: no revision of this service is ready")
            return False
        exchange = _Exchange(self._backend, self._recorder, client, request, route)
        headers = dict(request.headers)
        given = headers.get(b"x-serverless-authorization", headers.get(b"authorization"))
        turned = self._backend.turned(service, given.decode("latin-1") if given is not None else None)
        if turned is not None:
            await exchange.turn_away(turned)
            return False
        return await exchange.run()


class _Exchange:
    """One request, from its first byte to its entry in the request log."""

    def __init__(self, backend: Backend, recorder: Recorder, client: Peer, request: h11.Request, route: Route) -> None:
        self._backend = backend
        self._recorder = recorder
        self._client = client
        self._request = request
        self._route = route
        self._trace: Trace = trace_of(dict(request.headers))
        self._origin: Origin = route.launch.origin
        self._outcome = proxy.Outcome()
        self._started_ns = time.time_ns()
        self._started = time.monotonic()

    async def run(self) -> bool:
        """Whether the client's connection can take another request."""
        try:
            await self._run()
        except proxy.ClientGone:
            self._outcome.status = self._outcome.status or proxy.CLIENT_CLOSED
            self._client.abort()
        except asyncio.CancelledError:
            await self._failed(503, "The server is going away.")
            raise
        finally:
            self._record()
        done = self._client.http.our_state is h11.DONE and self._client.http.their_state is h11.DONE
        return done and not self._outcome.tunnelled

    async def turn_away(self, turned: Turned) -> None:
        """The platform answers in the service's place; no instance sees the request."""
        self._outcome.status, self._outcome.note = turned.status, turned.note
        headers = [("WWW-Authenticate", turned.challenge)] if turned.challenge else []
        await proxy.refuse(self._client, turned.status, turned.page, "text/html; charset=UTF-8", headers)
        self._record()

    async def _run(self) -> None:
        try:
            async with asyncio.timeout(self._route.launch.request_timeout_s):
                instance = await self._backend.instance(self._route)
                try:
                    self._origin = instance.origin
                    await proxy.forward(self._client, self._request, instance, self._trace, self._outcome)
                finally:
                    instance.leave()
        except StartFailed as failure:
            await self._failed(503, f"The request failed because the instance could not start successfully. {failure}")
        except NoInstance:
            await self._failed(429, proxy.NO_INSTANCE, "Rate exceeded.")
        except TimeoutError:
            await self._failed(504, proxy.TOO_LONG, "upstream request timeout")
        except (OSError, h11.RemoteProtocolError, h11.LocalProtocolError):
            await self._failed(503, proxy.UNREACHABLE)

    async def _failed(self, status: int, why: str, body: str | None = None) -> None:
        self._outcome.note = why
        if self._outcome.status:  # the answer had begun: cut it, so that it is not taken for whole
            self._client.abort()
            return
        self._outcome.status = status
        await proxy.refuse(self._client, status, why if body is None else body)

    def _record(self) -> None:
        headers = {name: value.decode("latin-1") for name, value in self._request.headers}
        request: dict[str, Any] = {
            "requestMethod": self._request.method.decode("latin-1"),
            "requestUrl": f"http://{headers.get(b'host', '')}{self._request.target.decode('latin-1')}",
            "requestSize": str(self._client.received),
            "status": self._outcome.status,
            "responseSize": str(self._client.sent),
            "userAgent": headers.get(b"user-agent", ""),
            "remoteIp": proxy.remote_ip(self._client),
            "serverIp": "127.0.0.1",
            "latency": f"{time.monotonic() - self._started:.6f}s",
            "protocol": f"HTTP/{self._request.http_version.decode()}",
        }
        if b"referer" in headers:
            request["referer"] = headers[b"referer"]
        self._recorder.request(
            self._origin,
            started_ns=self._started_ns,
            trace=self._trace.trace_id,
            span=self._trace.span_id,
            request=request,
            note=self._outcome.note,
        )
