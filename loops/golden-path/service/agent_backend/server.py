"""The server: plain HTTP and WebSockets on one port, until somebody asks the process to stop."""

from __future__ import annotations

import asyncio
import signal
from weakref import WeakKeyDictionary

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.http11 import Request, Response

from agent_backend import logs
from agent_backend.agent_service_core import AgentServiceCore
from agent_backend.agent_websocket_bridge import AgentWebSocketBridge
from agent_backend.auth import Authenticator, RefusedError, User
from agent_backend.http_api import HttpApi, error_response
from agent_backend.logs import logger
from agent_backend.metrics import Metrics
from agent_backend.session import Session
from agent_backend.settings import Settings
from agent_backend.threads import ThreadStore

MAX_MESSAGE = 256 * 1024  # bytes; a longer one closes the socket with 1009
CLOSE_TIMEOUT_S = 0.5  # how long a peer may take to answer our close, so that SIGTERM ends us within a second


class Backend:
    """Everything that lives as long as the process."""

    def __init__(self, settings: Settings) -> None:
        self._auth = Authenticator(settings.jwt_secret)
        self._threads = ThreadStore()
        self._metrics = Metrics()
        self._bridge = AgentWebSocketBridge()
        self._core = AgentServiceCore(self._bridge, settings.orchestrator_source, self._metrics)
        self._http = HttpApi(settings, self._auth, self._threads, self._metrics)
        self._users = WeakKeyDictionary[ServerConnection, User]()  # who was let in at the upgrade

    def process_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers plain HTTP; lets an upgrade of `/ws` go on (None) for a user who may start agents."""
        logs.bind_trace(logs.trace_id_of(request.headers))
        if request.path.partition("?")[0] != "/ws":
            return self._http.answer(request)
        try:
            user = self._auth.agent_user_of(request.headers)
        except RefusedError as refusal:
            logger.warning("websocket refused with %d: %s", refusal.status, refusal.detail)
            return error_response(refusal.status, refusal.detail)
        self._users[connection] = user
        return None

    async def handle(self, connection: ServerConnection) -> None:
        """One session; whatever breaks in it is logged here and closes its socket with 1011."""
        user = self._users[connection]
        logs.bind_user(user.user_id)
        self._metrics.websocket_sessions += 1
        try:
            await Session(connection, user, self._core, self._bridge, self._threads).serve()
        except ConnectionClosed as closed:
            logger.info("websocket lost: %s", closed)
        except Exception:  # noqa: BLE001 - the boundary of a session: logged whole, told by the close code
            logger.exception("websocket session failed")
            await connection.close(CloseCode.INTERNAL_ERROR)


async def serve_until_stopped(settings: Settings) -> None:
    """Returns after SIGTERM or SIGINT, when every socket has been closed with 1001, within a second."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    backend = Backend(settings)
    async with serve(
        backend.handle,
        settings.host,
        settings.port,
        process_request=backend.process_request,
        max_size=MAX_MESSAGE,
        close_timeout=CLOSE_TIMEOUT_S,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        logger.info(
            "listening on %s:%d",
            settings.host,
            port,
            extra={"fields": {"port": port, "orchestrators": settings.orchestrator_source.value}},
        )
        await stopped.wait()
        logger.info("stopping")
