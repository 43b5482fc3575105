"""The trace a request belongs to: the caller's where it names one, else a new one; always a span of our own."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from netra_loop.values import dataclass

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_CLOUD_CONTEXT = re.compile(r"([0-9a-fA-F]{32})(?:/\d+)?(?:;o=(\d))?")


@dataclass(frozen=True)
class Trace:
    """`trace_id` is 32 hex digits, `span_id` 16, `flags` 2 (01: sampled)."""

    trace_id: str
    span_id: str
    flags: str = "01"

    def headers(self) -> list[tuple[bytes, bytes]]:
        """What the container is given."""
        sampled = int(self.flags, 16) & 1
        return [
            (b"traceparent", f"00-{self.trace_id}-{self.span_id}-{self.flags}".encode()),
            (b"X-Cloud-Trace-Context", f"{self.trace_id}/{int(self.span_id, 16)};o={sampled}".encode()),
        ]


def trace_of(headers: Mapping[bytes, bytes]) -> Trace:
    """From request headers with lower-case names. A header that is malformed, or all zeros, counts as absent."""
    parent = _TRACEPARENT.fullmatch(headers.get(b"traceparent", b"").decode("latin-1"))
    if parent is not None and int(parent[1], 16):
        return Trace(parent[1], _span(), parent[3])
    context = _CLOUD_CONTEXT.fullmatch(headers.get(b"x-cloud-trace-context", b"").decode("latin-1"))
    if context is not None and int(context[1], 16):
        return Trace(context[1].lower(), _span(), "00" if context[2] == "0" else "01")
    return Trace(secrets.token_hex(16), _span())


def _span() -> str:
    return f"{secrets.randbits(63) + 1:016x}"
