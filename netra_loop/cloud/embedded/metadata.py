"""A metadata server, as the platform has one: identity tokens for whoever sets `GCE_METADATA_HOST` to its address."""

from __future__ import annotations

import asyncio
import json
import secrets
from urllib.parse import parse_qs, urlsplit

import h11

from netra_loop.cloud.embedded.access import ACCOUNT, TOKEN_S, Access
from netra_loop.cloud.embedded.peer import LONGEST_HEAD, Peer

_ACCOUNT_PATH = "/computeMetadata/v1/instance/service-accounts/"
_FLAVOR = ("Metadata-Flavor", "Google")
_PATIENCE_S = 30.0


class Metadata:
    """One for each server; `address` is `127.0.0.1:PORT` once it is open."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._server: asyncio.Server | None = None
        self.address = ""

    async def open(self) -> None:
        """Listens on a port of its own."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2 * LONGEST_HEAD)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        """Listens no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Peer(reader, writer, h11.SERVER)
        try:
            async with asyncio.timeout(_PATIENCE_S):
                request = await client.next_event()
                if isinstance(request, h11.Request):
                    headers = {name: value.decode("latin-1") for name, value in request.headers}
                    flavored = headers.get(b"metadata-flavor", "").lower() == "google"
                    status, kind, text = self._answer(request.target.decode("latin-1"), flavored=flavored)
                    await _say(client, status, kind, text)
        except (OSError, TimeoutError, h11.RemoteProtocolError):
            client.abort()
        finally:
            await client.close()

    def _answer(self, target: str, *, flavored: bool) -> tuple[int, str, str]:
        """Status, kind of content and content."""
        asked = urlsplit(target)
        words = parse_qs(asked.query)
        if not flavored:
            return 403, "text/html", "Missing Metadata-Flavor:Google header."
        if asked.path == "/":
            return 200, "application/text", "computeMetadata/\n"
        who, _, what = asked.path.removeprefix(_ACCOUNT_PATH).partition("/")
        if not asked.path.startswith(_ACCOUNT_PATH) or who not in {"default", ACCOUNT}:
            return 404, "text/html", f"{asked.path} is not there"
        if what == "identity":
            audience = words.get("audience", [""])[0]
            if not audience:
                return 400, "text/html", "non-empty audience parameter required"
            return 200, "text/html", self._access.mint(audience)
        if what == "token":
            token = {"access_token": f"embedded.{secrets.token_urlsafe(32)}", "expires_in": TOKEN_S}
            return 200, "application/json", json.dumps({**token, "token_type": "Bearer"})
        if what == "email":
            return 200, "application/text", ACCOUNT
        if what == "":
            return 200, "application/json", json.dumps({"aliases": ["default"], "email": ACCOUNT, "scopes": []})
        return 404, "text/html", f"{asked.path} is not there"


async def _say(client: Peer, status: int, kind: str, text: str) -> None:
    body = text.encode()
    headers = [_FLAVOR, ("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
    await client.send(h11.Response(status_code=status, headers=headers))
    await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())
