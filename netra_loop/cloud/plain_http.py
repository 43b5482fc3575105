"""One GET without TLS, as the embedded cloud takes it.

A whole HTTP client, with what it imports, costs more memory than ten thousand log entries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import urlsplit

_PIECE = 8192


async def get(url: str, headers: Mapping[str, str], most: int) -> int | None:
    """The status that answers a GET of `url` (http, no proxy asked, no redirect followed), once the answer is at its
    end or longer than `most` bytes. None where what answers is no HTTP. OSError where nobody does.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"host: {parts.netloc.rpartition('@')[2]}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        answer = await reader.readline()
        rest = most
        while rest > 0 and (piece := await reader.read(_PIECE)):
            rest -= len(piece)
    except ValueError:  # a first line without an end
        return None
    finally:
        writer.close()
    words = answer.split(None, 2)
    known = len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
    return int(words[1]) if known else None
