"""The connection: which channels there are, who we are on them, and the clients of both APIs upon them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import google.auth
import grpc.aio
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError
from google.auth.transport.requests import Request
from google.cloud import run_v2
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2AsyncClient
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcAsyncIOTransport
from google.cloud.run_v2.services.revisions.transports import RevisionsGrpcAsyncIOTransport
from google.cloud.run_v2.services.services.transports import ServicesGrpcAsyncIOTransport

from netra_loop.errors import CloudCallFailed, EnvironmentFailed

LOGIN = "gcloud auth application-default login"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_CHANNEL = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class Link:
    """Clients of Cloud Run and of Cloud Logging. Made inside the running loop, closed before it ends.

    `endpoint` (`http://HOST:PORT`, `HOST:PORT` or `unix:PATH`) is one plain-text channel for both APIs, on which
    `token` is sent as bearer where there is one; None is Google: a channel for each API, with Application Default
    Credentials. The clients are there once `ready` has returned, for an endpoint at once. Nothing is connected before
    the first call.

    Whoever opens a stream sends `stream_metadata` with it: that is the bearer's place there, since an interceptor makes
    gRPC read the requests in a task of its own, which outlives a stream that breaks.
    """

    services: run_v2.ServicesAsyncClient
    revisions: run_v2.RevisionsAsyncClient
    logging: LoggingServiceV2AsyncClient

    def __init__(self, endpoint: str | None, token: str | None = None) -> None:
        self.endpoint = endpoint
        self.stream_metadata: tuple[tuple[str, str], ...] = _bearer(token) if endpoint is not None and token else ()
        self._channels: list[grpc.aio.Channel] = []
        self._credentials: Credentials | None = None
        self._lock = asyncio.Lock()
        if endpoint is not None:
            interceptors: list[Any] = [_BearerOnCalls(token)] if token else []
            channel = grpc.aio.insecure_channel(target_of(endpoint), options=_CHANNEL, interceptors=interceptors)
            self._use(
                ServicesGrpcAsyncIOTransport(channel=channel), LoggingServiceV2GrpcAsyncIOTransport(channel=channel)
            )

    @property
    def principal(self) -> str | None:
        """Who calls, where the credentials say so."""
        for field in ("service_account_email", "account"):
            name = getattr(self._credentials, field, None)
            if name and name != "default":
                return str(name)
        return None

    async def ready(self) -> None:
        """Finds the credentials, the first time. Raises CloudCallFailed where there are none. Safe to repeat."""
        if self._channels:
            return
        async with self._lock:
            if self._channels:
                return
            try:  # asks the metadata server where nothing else is set, and blocks meanwhile
                self._credentials, _ = await asyncio.to_thread(google.auth.default, scopes=_SCOPES)
            except DefaultCredentialsError as error:
                text = str(error).splitlines()[0]
                raise CloudCallFailed("finding credentials", "UNAUTHENTICATED", text, hint=LOGIN) from error
            self._use(
                ServicesGrpcAsyncIOTransport(credentials=self._credentials),
                LoggingServiceV2GrpcAsyncIOTransport(credentials=self._credentials),
            )

    async def renew(self) -> None:
        """Gets a new access token, whatever the old one says of its own end. Raises GoogleAuthError where it cannot."""
        if self._credentials is not None:
            await asyncio.to_thread(self._credentials.refresh, Request())

    async def close(self) -> None:
        """Lets go of the channels. Safe to repeat."""
        for channel in self._channels:
            await channel.close(grace=None)

    def _use(self, run: ServicesGrpcAsyncIOTransport, logging: LoggingServiceV2GrpcAsyncIOTransport) -> None:
        self.services = run_v2.ServicesAsyncClient(transport=run)
        self.revisions = run_v2.RevisionsAsyncClient(transport=RevisionsGrpcAsyncIOTransport(channel=run.grpc_channel))
        self.logging = LoggingServiceV2AsyncClient(transport=logging)
        self._channels = list({id(one): one for one in (run.grpc_channel, logging.grpc_channel)}.values())


def target_of(endpoint: str) -> str:
    """`endpoint` as gRPC names it. Raises EnvironmentFailed for one that is not plain text."""
    if endpoint.startswith("https://"):
        raise EnvironmentFailed(
            f"endpoint {endpoint!r} is https, expected plain-text gRPC as http://HOST:PORT or unix:PATH",
            hint="take `endpoint` out of the environment to deploy to Google itself",
        )
    if endpoint.startswith("unix:"):
        return endpoint.replace("unix://", "unix:", 1)
    return endpoint.removeprefix("http://").rstrip("/")


def _bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def _with_bearer(details: grpc.aio.ClientCallDetails, token: str) -> grpc.aio.ClientCallDetails:
    metadata = grpc.aio.Metadata(*(details.metadata or ()), *_bearer(token))
    return grpc.aio.ClientCallDetails(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready
    )


class _BearerOnCalls(grpc.aio.UnaryUnaryClientInterceptor):  # type: ignore[type-arg]  # not generic when it runs
    def __init__(self, token: str) -> None:
        self._token = token

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_with_bearer(client_call_details, self._token), request)
