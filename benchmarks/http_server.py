"""A server that answers every HTTP request of a kept-alive connection with a small JSON body. For the benchmarks.

Prints the port it listens on, and ends when its standard input does; with a port in PORT it is a service, and is ended.
"""

from __future__ import annotations

import asyncio
import os
import sys

_BODY = b'{"status": "ok"}'
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class Connection(asyncio.Protocol):
    """Requests without a body: each ends with an empty line."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        self._transport.write(_ANSWER * len(requests))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", int(os.environ.get("PORT", "0")))
    if "PORT" in os.environ:
        await server.serve_forever()
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
