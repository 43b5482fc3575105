"""One request through the front: client -> instance -> client, whatever its shape, and what to log of it.

Bodies stream both ways at once. An instance that is gone before it answered is a 503; one that goes in the middle of
its answer cuts the client's connection; one that takes too long is a 504, or a cut where it had begun to answer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence

import h11

from netra_loop.cloud.embedded.instance import Instance
from netra_loop.cloud.embedded.peer import LONGEST_HEAD, Peer, tunnel
from netra_loop.cloud.embedded.trace import Trace
from netra_loop.values import dataclass

_HOP_BY_HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"upgrade", b"transfer-encoding"}
_REPLACED = {b"traceparent", b"x-cloud-trace-context", b"x-forwarded-for", b"x-forwarded-proto"}
_TUNNEL_PATIENCE_S = 10.0
_BODY_PATIENCE_S = 1.0  # for a client that still sends when it has been answered
CLIENT_CLOSED = 499
UNREACHABLE = (
    "The request failed because either the HTTP response was malformed or connection to the instance had an error."
)
NO_INSTANCE = "The request was aborted because there was no available instance."
TOO_LONG = "The request has been terminated because it has reached the maximum request timeout."

Headers = list[tuple[bytes, bytes]]


class ClientGone(Exception):  # an ordinary end of a request
    """The client closed its connection before it had its answer."""


@dataclass
class Outcome:
    """What became of a request. `status` 0: nothing was answered yet. `note`: why the platform answered itself."""

    status: int = 0
    note: str | None = None
    tunnelled: bool = False


async def forward(client: Peer, request: h11.Request, instance: Instance, trace: Trace, outcome: Outcome) -> None:
    """Passes the request on and the answer back; keeps `outcome` true all the way, also when cancelled.

    Raises ClientGone; OSError or h11.RemoteProtocolError where the instance failed.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.port, limit=2 * LONGEST_HEAD)
    upstream = Peer(reader, writer, h11.CLIENT)
    try:
        await upstream.send(_upstream_request(client, request, trace))
        if wants_upgrade(request):
            await _send_body(client, upstream)
        body_sent = asyncio.Event()
        sending = asyncio.create_task(_send_body_and_watch(client, upstream, body_sent))
        answering = asyncio.create_task(_answer(client, request, upstream, outcome))
        await _both(sending, answering, body_sent)
        if outcome.tunnelled:
            await _tunnel(client, upstream)
    finally:
        upstream.abort()


async def refuse(
    client: Peer,
    status: int,
    text: str,
    content_type: str = "text/plain; charset=utf-8",
    more: Sequence[tuple[str, str]] = (),
) -> None:
    """The platform's own answer, where the client can still be given one; the connection is of no use afterwards."""
    if client.http.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
        client.abort()
        return
    body = text.encode() + b"\n"
    headers = [
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
        *more,
    ]
    with contextlib.suppress(OSError, h11.LocalProtocolError):
        await client.send(h11.Response(status_code=status, headers=headers))
        await client.send(h11.Data(data=body))
        await client.send(h11.EndOfMessage())


def wants_upgrade(request: h11.Request) -> bool:
    """Whether the client asked for another protocol, such as WebSocket."""
    headers = dict(request.headers)
    return b"upgrade" in headers and b"upgrade" in headers.get(b"connection", b"").lower()


async def _both(sending: asyncio.Task[None], answering: asyncio.Task[None], body_sent: asyncio.Event) -> None:
    """Until the answer is complete, and for a moment longer where the client still sends."""
    try:
        await asyncio.wait({sending, answering}, return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            await sending  # it ends by itself only where the client has gone
        await answering
        with contextlib.suppress(TimeoutError, ClientGone):
            async with asyncio.timeout(_BODY_PATIENCE_S):
                await body_sent.wait()
    finally:
        for task in (sending, answering):
            task.cancel()
        await asyncio.gather(sending, answering, return_exceptions=True)


async def _send_body_and_watch(client: Peer, upstream: Peer, body_sent: asyncio.Event) -> None:
    """The request's body, then watches over the client: raises ClientGone when it goes before it was answered."""
    try:
        await _send_body(client, upstream)
    finally:
        body_sent.set()
    while await client.read():  # what comes now belongs to the next request, and waits in the state
        if len(client.http.trailing_data[0]) > LONGEST_HEAD:
            await asyncio.Event().wait()
    raise ClientGone


async def _send_body(client: Peer, upstream: Peer) -> None:
    listening = True
    while client.http.their_state is h11.SEND_BODY:
        try:
            event = await client.next_event()
        except (OSError, h11.RemoteProtocolError) as error:
            raise ClientGone from error
        if isinstance(event, h11.ConnectionClosed):
            raise ClientGone
        try:
            if listening:
                await upstream.send(event)
        except (OSError, h11.LocalProtocolError):  # it answered early, or died: the answering side finds out which
            listening = False


async def _answer(client: Peer, request: h11.Request, upstream: Peer, outcome: Outcome) -> None:
    while True:
        event = await upstream.next_event()
        if isinstance(event, h11.ConnectionClosed):
            raise ConnectionResetError("the instance closed the connection")
        if isinstance(event, h11.InformationalResponse):
            if event.status_code == 101:
                await _to_client(client, event)
                outcome.status, outcome.tunnelled = 101, True
                return
            if request.http_version > b"1.0":
                await _to_client(client, event)
        elif isinstance(event, h11.Response):
            headers = _without(event.headers.raw_items(), _HOP_BY_HOP)
            outcome.status = event.status_code
            await _to_client(client, h11.Response(status_code=event.status_code, headers=headers, reason=event.reason))
        else:
            await _to_client(client, event)
            if isinstance(event, h11.EndOfMessage):
                return


async def _to_client(client: Peer, event: object) -> None:
    try:
        await client.send(event)
    except OSError as error:
        raise ClientGone from error


async def _tunnel(client: Peer, upstream: Peer) -> None:
    early_up, early_down = client.http.trailing_data[0], upstream.http.trailing_data[0]
    if early_up:
        await upstream.send_raw(early_up)
    if early_down:
        await client.send_raw(early_down)
    await tunnel(client, upstream, patience_s=_TUNNEL_PATIENCE_S)


def _upstream_request(client: Peer, request: h11.Request, trace: Trace) -> h11.Request:
    plain = dict(request.headers)
    kept = _without(request.headers.raw_items(), _HOP_BY_HOP | _REPLACED)
    if b"host" not in plain:
        kept.append((b"Host", b"localhost"))
    if b"transfer-encoding" in plain:
        kept.append((b"Transfer-Encoding", b"chunked"))
    if wants_upgrade(request):
        kept += [(b"Connection", b"Upgrade"), (b"Upgrade", plain[b"upgrade"])]
    address = remote_ip(client).encode()
    before = plain.get(b"x-forwarded-for")
    kept += [
        (b"X-Forwarded-For", before + b", " + address if before else address),
        (b"X-Forwarded-Proto", b"http"),
        *trace.headers(),
    ]
    return h11.Request(method=request.method, target=request.target, headers=kept)


def remote_ip(client: Peer) -> str:
    """The client's address."""
    address = client.writer.get_extra_info("peername")
    return str(address[0]) if address else ""


def _without(items: Iterable[tuple[bytes, bytes]], names: set[bytes]) -> Headers:
    return [(name, value) for name, value in items if name.lower() not in names]
