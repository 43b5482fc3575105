"""One WebSocket of one user: reads what the user asks for, starts runs, and ends them when the socket goes."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from agent_backend.agent_service_core import AgentRequest, AgentServiceCore
from agent_backend.agent_websocket_bridge import AgentWebSocketBridge
from agent_backend.agents import AGENTS, DEFAULT_AGENT
from agent_backend.auth import User
from agent_backend.threads import Thread, ThreadStore, UnknownThreadError


class InvalidMessageError(Exception):
    """A frame that cannot be acted on; `code` is for programs, the text for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Session:
    def __init__(
        self,
        socket: ServerConnection,
        user: User,
        core: AgentServiceCore,
        bridge: AgentWebSocketBridge,
        threads: ThreadStore,
    ) -> None:
        self._socket = socket
        self._user = user
        self._core = core
        self._bridge = bridge
        self._threads = threads
        self._runs: set[asyncio.Task[None]] = set()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # holds a run's exception

    async def serve(self) -> None:
        """Until the socket closes. Raises what a run raised: a run that broke takes its socket down with it."""
        await self.send(
            {
                "type": "connection_established",
                "payload": {"connection_id": f"conn-{uuid4().hex[:12]}", "user_id": self._user.user_id},
            }
        )
        reading = asyncio.create_task(self._read())
        try:
            finished, _ = await asyncio.wait({reading, self._broken}, return_when=asyncio.FIRST_COMPLETED)
            for ended in finished:
                ended.result()
        finally:
            self._bridge.unsubscribe(self.send)
            for task in (reading, *self._runs):
                task.cancel()
            await asyncio.gather(reading, *self._runs, return_exceptions=True)

    async def send(self, frame: dict[str, Any]) -> None:
        """To a socket that is going away a frame is lost; nobody is left to read it."""
        try:
            await self._socket.send(json.dumps(frame, ensure_ascii=False))
        except ConnectionClosed:
            self._bridge.unsubscribe(self.send)

    async def _read(self) -> None:
        async for data in self._socket:
            try:
                await self._handle(_parse(data))
            except InvalidMessageError as error:
                await self.send({"type": "error_message", "payload": {"code": error.code, "detail": str(error)}})

    async def _handle(self, message: dict[str, Any]) -> None:
        payload = message.get("payload", {})
        if not isinstance(payload, dict):
            raise InvalidMessageError("invalid_payload", "payload is no object")
        match message.get("type"):
            case "ping":
                await self.send({"type": "pong", "payload": payload})
            case "start_agent":
                await self._start_agent(payload)
            case "subscribe":
                thread = self._thread(payload.get("thread_id"))
                self._bridge.subscribe(self._user.user_id, thread.thread_id, self.send)
                await self.send({"type": "subscribed", "thread_id": thread.thread_id, "payload": {}})
            case "create_thread":
                thread = self._threads.create(self._user.user_id)
                await self.send({"type": "thread_created", "thread_id": thread.thread_id, "payload": {}})
            case "list_threads":
                threads = [thread.thread_id for thread in self._threads.of_user(self._user.user_id)]
                await self.send({"type": "threads", "payload": {"threads": threads}})
            case None:
                raise InvalidMessageError("missing_type", "the message has no type")
            case unknown:
                raise InvalidMessageError("unknown_type", f"cannot handle messages of type {str(unknown)[:60]!r}")

    async def _start_agent(self, payload: dict[str, Any]) -> None:
        user_request = payload.get("user_request")
        if not isinstance(user_request, str) or not user_request.strip():
            raise InvalidMessageError("invalid_request", "payload.user_request is missing or no text")
        agent_type = payload.get("agent_type", DEFAULT_AGENT)
        if agent_type not in AGENTS:
            raise InvalidMessageError("unknown_agent", f"no agent is called {str(agent_type)[:60]!r}")
        thread_id = payload.get("thread_id")
        thread = self._threads.create(self._user.user_id) if thread_id is None else self._thread(thread_id)
        self._bridge.subscribe(self._user.user_id, thread.thread_id, self.send)
        request = AgentRequest(self._user.user_id, agent_type, user_request)
        run = asyncio.create_task(self._core.run_agent(request, thread))
        self._runs.add(run)
        run.add_done_callback(self._run_ended)

    def _run_ended(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if run.cancelled():
            return
        error = run.exception()
        if error is not None and not self._broken.done():
            self._broken.set_exception(error)

    def _thread(self, thread_id: object) -> Thread:
        try:
            return self._threads.get(self._user.user_id, str(thread_id))
        except UnknownThreadError:
            raise InvalidMessageError("unknown_thread", f"no thread {str(thread_id)[:60]!r}") from None


def _parse(data: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        raise InvalidMessageError("invalid_json", "the message is no JSON") from None
    if not isinstance(message, dict):
        raise InvalidMessageError("invalid_json", "the message is no JSON object")
    return message
