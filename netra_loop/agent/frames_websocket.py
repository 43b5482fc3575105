"""websocket-client (`import websocket`): its `WebSocket`, which its `WebSocketApp` uses too."""

from __future__ import annotations

import contextvars
from typing import Any

from . import drops, evidence
from .exchanges import HEADER
from .frames import Life
from .wrapping import Kept, quietly, wrap

_lives = Kept()
_connecting: contextvars.ContextVar[list[Life] | None] = contextvars.ContextVar("netra_loop_connecting", default=None)


def install_handshake(module: Any) -> None:
    """The upgrade's headers."""

    def make(original: Any) -> Any:
        def _get_handshake_headers(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            result = original(*args, **kwargs)
            quietly(_give_trace, result[0])
            return result

        return _get_handshake_headers

    wrap(module, "_get_handshake_headers", make)


def _give_trace(headers: list[str]) -> None:
    if any(line.partition(":")[0].strip().lower() == HEADER for line in headers):
        return
    value = evidence.traceparent()
    if value is not None:
        headers.insert(len(headers) - 2, f"{HEADER}: {value}")  # before the empty lines that end them


def install_core(module: Any) -> None:
    """The upgrade itself, and what follows."""
    wrap(module, "handshake", _shaking)
    wrap(module.WebSocket, "connect", _joining)
    wrap(module.WebSocket, "send_frame", _sending)
    wrap(module.WebSocket, "recv_frame", _receiving)


def _shaking(original: Any) -> Any:
    def handshake(sock: Any, url: str, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        life = quietly(Life, url)
        lives = _connecting.get()
        if lives is not None and life is not None:
            lives.append(life)
        try:
            answer = original(sock, url, *args, **kwargs)
        except BaseException as error:
            if life is not None:
                quietly(_refused, life, error)
            raise
        if life is not None:
            quietly(life.answered, answer.status)
        return answer

    return handshake


def _refused(life: Life, error: BaseException) -> None:
    status = getattr(error, "status_code", None)
    if isinstance(status, int):
        life.answered(status, getattr(error, "resp_body", None))
    else:
        life.failed(error)


def _joining(original: Any) -> Any:
    def connect(self: Any, url: str, **options: Any) -> Any:
        __tracebackhide__ = True
        lives: list[Life] = []
        token = _connecting.set(lives)
        try:
            result = original(self, url, **options)
        except BaseException as error:
            if not lives:
                quietly(_unreached, url, error)
            raise
        finally:
            _connecting.reset(token)
        if lives:
            quietly(_joined, self, lives[-1])
        return result

    return connect


def _unreached(url: str, error: BaseException) -> None:
    Life(url).failed(error)


def _joined(socket: Any, life: Life) -> None:
    _lives.put(socket, life)
    life.open()
    drops.watch(socket.sock, life)


def _sending(original: Any) -> Any:
    def send_frame(self: Any, frame: Any) -> Any:
        __tracebackhide__ = True
        life = _lives.get(self)
        if life is not None:
            quietly(_frame, life, "sent", frame)
        return original(self, frame)

    return send_frame


def _receiving(original: Any) -> Any:
    def recv_frame(self: Any) -> Any:
        __tracebackhide__ = True
        life, sock = _lives.get(self), self.sock
        try:
            frame = original(self)
        except Exception as error:
            if life is not None and sock is not None:  # without, the test let go of it itself
                quietly(_ended, life, error)
            raise
        if life is not None and frame is not None:
            quietly(_frame, life, "received", frame)
        return frame

    return recv_frame


def _frame(life: Life, direction: str, frame: Any) -> None:
    data = frame.data.encode("utf-8", "replace") if isinstance(frame.data, str) else frame.data
    life.frame(direction, int(frame.opcode), data, fin=bool(frame.fin))


def _ended(life: Life, error: Exception) -> None:
    if isinstance(error, ConnectionError) or type(error).__name__ == "WebSocketConnectionClosedException":
        life.lost()
