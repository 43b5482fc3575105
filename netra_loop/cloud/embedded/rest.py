"""A REST view of the server, for curl and gcloud: log entries to read and write, resources to look at.

Each request is sent on to the server's own gRPC, with the caller's Authorization: what is counted, refused or delayed
there is so here. Loopback only, and for programs only: pages of a browser are turned away.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import grpc
import grpc.aio
import h11
from google.protobuf import json_format
from google.rpc import code_pb2, status_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.embedded.peer import LONGEST_HEAD, Peer
from netra_loop.cloud.embedded.rest_routes import BadRequest, Call, call_of

_log = logging.getLogger(__name__)
_PATIENCE_S = 60.0  # for a request's next byte, and for its answer
_LARGEST_BODY = 16 * 1024 * 1024
_DETAILS = "grpc-status-details-bin"
_OWN_HOSTS = {"127.0.0.1", "localhost", "[::1]"}
_HTTP = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
}
_NAMES = {400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 405: "UNIMPLEMENTED"}


class Rest:
    """One for each server. `target` is where its gRPC is, as gRPC names it; `address` is `http://127.0.0.1:PORT`."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._channel: grpc.aio.Channel | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.address = ""

    async def open(self, port: int) -> None:
        """Listens on `port`, 0 being any. Raises OSError where it is taken."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, limit=2 * LONGEST_HEAD)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        unbounded = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.aio.insecure_channel(self._target, options=unbounded)

    async def close(self) -> None:
        """Listens no more, and ends what is under way."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close(grace=None)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        client = Peer(reader, writer, h11.SERVER)
        try:
            while await self._serve_one(client):
                client.http.start_next_cycle()
        except (OSError, h11.RemoteProtocolError, h11.LocalProtocolError):
            client.abort()
        except asyncio.CancelledError:
            client.abort()  # the server ends: nobody else waits for this task
        finally:
            await client.close()

    async def _serve_one(self, client: Peer) -> bool:
        """One request; whether the connection can take another."""
        async with asyncio.timeout(_PATIENCE_S):
            request = await client.next_event()
            if not isinstance(request, h11.Request):
                return False
            body = bytearray()
            while isinstance(event := await client.next_event(), h11.Data):
                body += event.data
                if len(body) > _LARGEST_BODY:
                    await _say(client, 413, _error(413, f"the body is larger than {_LARGEST_BODY} bytes"))
                    return False
        await _say(client, *await self._answer(request, bytes(body)))
        return client.http.our_state is h11.DONE and client.http.their_state is h11.DONE

    async def _answer(self, request: h11.Request, body: bytes) -> tuple[int, bytes]:
        headers = {name: value.decode("latin-1") for name, value in request.headers}
        if b"origin" in headers or _host_of(headers.get(b"host", "")) not in _OWN_HOSTS:
            return 403, _error(403, "pages of a browser, and other names than 127.0.0.1, are turned away")
        try:
            call = call_of(request.method.decode("latin-1"), request.target.decode("latin-1"), body)
        except BadRequest as bad:
            return bad.status, _error(bad.status, str(bad))
        return await self._forward(call, headers.get(b"authorization"))

    async def _forward(self, call: Call, authorization: str | None) -> tuple[int, bytes]:
        if self._channel is None:
            return 503, _error(503, "the server is going away")
        metadata = (("authorization", authorization),) if authorization else ()
        try:
            send = self._channel.unary_unary(call.method, request_serializer=None, response_deserializer=None)
            answer = await send(call.body, timeout=_PATIENCE_S, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return _HTTP.get(error.code().name, 500), _refusal(error)
        return 200, call.json_of(answer)


def _refusal(error: grpc.aio.AioRpcError) -> bytes:
    http = _HTTP.get(error.code().name, 500)
    told: dict[str, Any] = {"code": http, "message": error.details(), "status": error.code().name}
    trailing: Any = error.trailing_metadata() or ()
    packed = dict(trailing).get(_DETAILS)
    if packed is not None:
        status = status_pb2.Status.FromString(packed if isinstance(packed, bytes) else packed.encode())
        told["details"] = [json_format.MessageToDict(detail) for detail in status.details]
    return _json({"error": told})


def _error(http: int, message: str) -> bytes:
    status = _NAMES.get(http, code_pb2.Code.Name(code_pb2.INVALID_ARGUMENT))
    return _json({"error": {"code": http, "message": message, "status": status}})


def _json(value: Any) -> bytes:
    return f"{json.dumps(value, ensure_ascii=False, indent=2)}\n".encode()


def _host_of(header: str) -> str:
    host, colon, port = header.rpartition(":")
    return host if colon and port.isdigit() else header


async def _say(client: Peer, status: int, body: bytes) -> None:
    headers = [("Content-Type", "application/json; charset=UTF-8"), ("Content-Length", str(len(body)))]
    if client.http.their_state is not h11.DONE:
        headers.append(("Connection", "close"))
    await client.send(h11.Response(status_code=status, headers=headers))
    await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())
