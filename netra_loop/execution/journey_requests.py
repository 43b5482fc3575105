"""The HTTP side of a journey: one client, cookies kept from step to step, every request an exchange in the trail."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from netra_loop.clock import Clock
from netra_loop.core.records import Exchange
from netra_loop.execution.connection_errors import explain, peer
from netra_loop.execution.journey_trail import Trail, clip_bytes
from netra_loop.values import dataclass

BODY_MAX = 8 * 2**20
_DIRECT = ("all://localhost", "all://*.localhost", "all://127.0.0.1", "all://[::1]")


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; of `body` at most the first 8 MiB, `cut` where there was more."""

    status: int
    body: bytes
    cut: bool


class Requests:
    """Makes requests. Redirects are not followed; proxies are the environment's, except to this machine."""

    def __init__(self, trail: Trail, clock: Clock, context: Callable[[], ssl.SSLContext]) -> None:
        self._trail = trail
        self._clock = clock
        self._context = context
        self._client: httpx.AsyncClient | None = None

    def build(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> httpx.Request:
        """A request that is ready to be sent; a `body` that is not None is sent as JSON."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=None,  # noqa: S113 - the step's own deadline is over the whole exchange
                verify=self._context(),
                mounts=dict.fromkeys(_DIRECT),
            )
        return self._client.build_request(method, url, headers=dict(headers), json=body)

    async def send(self, request: httpx.Request) -> Answer:
        """Sends it and reads the answer. Raises httpx.HTTPError or OSError; safe to cancel. Noted either way."""
        started_at, began = self._clock.now(), self._clock.monotonic()
        status: int | None = None
        error: str | None = None
        body: bytes | None = None
        try:
            answer = await self._exchange(request)
            status, body = answer.status, answer.body if answer.status >= 400 else None
        except asyncio.CancelledError:
            error = "no whole answer in time"
            raise
        except (httpx.HTTPError, OSError) as failed:
            error = explain(failed, str(request.url))
            raise
        finally:
            self._trail.exchange(
                Exchange(
                    method=request.method,
                    url=str(request.url),
                    status=status,
                    started_at=started_at,
                    duration_s=self._clock.monotonic() - began,
                    error=error,
                    body=clip_bytes(body.decode("utf-8", "replace")) if body else None,
                ),
            )
        return answer

    async def close(self) -> None:
        """Closes the connections. Safe to repeat."""
        if self._client is not None:
            await self._client.aclose()

    async def _exchange(self, request: httpx.Request) -> Answer:
        host, port = peer(str(request.url))
        request.extensions["trace"] = self._tracer(request, host, port)
        assert self._client is not None
        response = await self._client.send(request, stream=True)
        chunks, size = [], 0
        try:
            self._trail.talked(host, port, received=_head_size(response.headers, 17))
            async for chunk in response.aiter_bytes():
                room = BODY_MAX - size
                chunks.append(chunk[:room])
                size += len(chunk)
                if size > BODY_MAX:
                    break
            return Answer(response.status_code, b"".join(chunks), cut=size > BODY_MAX)
        finally:
            self._trail.talked(host, port, received=response.num_bytes_downloaded)
            await response.aclose()

    def _tracer(self, request: httpx.Request, host: str, port: int) -> Callable[[str, Any], Any]:
        """Counts what was sent once it was sent: a refused connection is no contact."""
        start = len(request.method) + len(request.url.raw_path) + 13

        async def trace(event: str, _info: Any) -> None:
            if event.endswith(".send_request_headers.complete"):
                self._trail.talked(host, port, sent=_head_size(request.headers, start))
            elif event.endswith(".send_request_body.complete"):
                self._trail.talked(host, port, sent=len(request.content))

        return trace


def _head_size(headers: httpx.Headers, start: int) -> int:
    """Bytes of a message's head, given those of its first line."""
    return start + sum(len(name) + len(value) + 4 for name, value in headers.raw) + 2
