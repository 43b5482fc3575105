"""The HTTP side: health, discovery of agents, a user's own threads. Every answer but /metrics is JSON."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from agent_backend import __version__
from agent_backend.agents import AGENTS, UnknownAgentError, agent_named
from agent_backend.auth import Authenticator, RefusedError
from agent_backend.metrics import Metrics
from agent_backend.settings import Settings
from agent_backend.threads import ThreadStore, UnknownThreadError


class HttpApi:
    def __init__(self, settings: Settings, auth: Authenticator, threads: ThreadStore, metrics: Metrics) -> None:
        self._settings = settings
        self._auth = auth
        self._threads = threads
        self._metrics = metrics
        self._began = time.monotonic()

    def answer(self, request: Request) -> Response:
        """Never raises for anything that a caller can send."""
        self._metrics.http_requests += 1
        method = getattr(request, "method", "GET")  # before websockets 17 only GET got this far
        if method != "GET":
            return error_response(HTTPStatus.METHOD_NOT_ALLOWED, f"{method} is not allowed here")
        path = tuple(unquote(part) for part in urlsplit(request.path).path.strip("/").split("/"))
        try:
            return self._route(path, request)
        except RefusedError as refusal:
            return error_response(refusal.status, refusal.detail)
        except UnknownAgentError as missing:
            return error_response(HTTPStatus.NOT_FOUND, f"no agent is called {missing.args[0]!r}")
        except UnknownThreadError as missing:
            return error_response(HTTPStatus.NOT_FOUND, f"no thread {missing.args[0]!r}")

    def _route(self, path: tuple[str, ...], request: Request) -> Response:
        match path:
            case ("health",):
                return json_response(HTTPStatus.OK, self._health())
            case ("metrics",):
                return _response(HTTPStatus.OK, "text/plain; version=0.0.4", self._metrics.as_text())
            case ("api", "agents"):
                return json_response(HTTPStatus.OK, {"agents": [agent.as_json() for agent in AGENTS.values()]})
            case ("api", "agents", name):
                return json_response(HTTPStatus.OK, agent_named(name).as_json())
            case ("api", "me"):
                user = self._auth.user_of(request.headers)
                return json_response(HTTPStatus.OK, {"user_id": user.user_id, "permissions": sorted(user.permissions)})
            case ("api", "threads"):
                user = self._auth.agent_user_of(request.headers)
                threads = [thread.thread_id for thread in self._threads.of_user(user.user_id)]
                return json_response(HTTPStatus.OK, {"threads": threads})
            case ("api", "threads", thread_id, "messages"):
                user = self._auth.agent_user_of(request.headers)
                messages = self._threads.get(user.user_id, thread_id).messages
                return json_response(HTTPStatus.OK, {"thread_id": thread_id, "messages": messages})
        return error_response(HTTPStatus.NOT_FOUND, f"nothing is at {request.path!r}")

    def _health(self) -> dict[str, object]:
        return {
            "status": "ok",
            "service": self._settings.service,
            "revision": self._settings.revision,
            "version": __version__,
            "uptime_s": round(time.monotonic() - self._began, 3),
        }


def json_response(status: HTTPStatus, body: object) -> Response:
    return _response(status, "application/json", json.dumps(body, ensure_ascii=False))


def error_response(status: HTTPStatus, detail: str) -> Response:
    response = json_response(status, {"detail": detail})
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = "GET"
    return response


def _response(status: HTTPStatus, content_type: str, text: str) -> Response:
    body = text.encode()
    headers = Headers(
        [
            ("Date", formatdate(usegmt=True)),
            ("Connection", "close"),
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
        ]
    )
    return Response(status.value, status.phrase, headers, body)
