"""A service that answers, and badly: /500, and sockets that end in an error event, with 1011, or without a word."""

import asyncio
import json
import os
from email.utils import formatdate
from http import HTTPStatus

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response


def process_request(connection: ServerConnection, request: Request) -> Response | None:
    if request.path.startswith("/ws/"):
        return None
    status = HTTPStatus(500 if request.path == "/500" else 200)
    body = json.dumps({"detail": status.phrase}).encode()
    headers = Headers([("Date", formatdate(usegmt=True)), ("Content-Type", "application/json")])
    headers["Content-Length"], headers["Connection"] = str(len(body)), "close"
    return Response(status.value, status.phrase, headers, body)


async def handle(connection: ServerConnection) -> None:
    await connection.recv()
    if connection.request.path == "/ws/error":
        await connection.send(json.dumps({"type": "error_message", "payload": {"detail": "out of order"}}))
        await connection.recv()
    elif connection.request.path == "/ws/1011":
        await connection.close(1011, "internal error")
    elif connection.request.path == "/ws/lost":
        connection.transport.abort()
    else:
        async for message in connection:
            await connection.send(message)


async def main() -> None:
    async with serve(handle, "127.0.0.1", int(os.environ["PORT"]), process_request=process_request) as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
