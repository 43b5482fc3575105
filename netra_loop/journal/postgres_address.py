"""Where a PostgreSQL server is, read from a store's URL; and how that is told without the password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from netra_loop.errors import UsageError

CONNECT_TIMEOUT_S = 10
# A peer that is gone without a word (power, network) is noticed after this, by us and, asked to do the same, by the
# server: only then can what it held be taken by another.
_QUIET_S, _PROBE_S, _PROBES = 10, 5, 3
GONE_S = _QUIET_S + _PROBE_S * _PROBES
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "application_name": "netra-loop",
    "keepalives": 1,
    "keepalives_idle": _QUIET_S,
    "keepalives_interval": _PROBE_S,
    "keepalives_count": _PROBES,
    "tcp_user_timeout": GONE_S * 1000,
}
SERVER_SIDE = {
    "tcp_keepalives_idle": str(_QUIET_S),
    "tcp_keepalives_interval": str(_PROBE_S),
    "tcp_keepalives_count": str(_PROBES),
    "tcp_user_timeout": str(GONE_S * 1000),
}
_SPELLING = "expected postgresql://USER@HOST:PORT/DATABASE"


@dataclass(frozen=True)
class Address:
    """A server and a database on it. `shown` is for people; `password` None where libpq finds one by itself, or none
    is needed.
    """

    shown: str
    password: str | None
    known: dict[str, Any]

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    def parameters(self) -> dict[str, Any]:
        """What to connect with, our defaults first."""
        several = "," in str(self.known.get("host", ""))
        return _DEFAULTS | ({"target_session_attrs": "read-write"} if several else {}) | self.known | _UTF8

    def told(self, text: str, most: int = 400) -> str:
        """A server's or a library's message as one line, cut to `most` characters, without the password."""
        if self.password:
            for secret in {self.password, quote(self.password, safe=""), quote(self.password)}:
                text = text.replace(secret, "***")
        line = " ".join(text.split())
        return line if len(line) <= most else line[: most - 1] + "…"


_UTF8 = {"client_encoding": "UTF8"}


def read_address(url: str) -> Address:
    """The address in `url` (`postgresql://…` or `postgres://…`, as libpq spells them). UsageError where it is none;
    nothing of a URL that could not be read is repeated, since any part of it may be the password.
    """
    rest = url.partition("://")[2]
    authority, behind = re.match(r"([^/?]*)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if authority.count("@") > 1 or "@" in behind:
        raise UsageError(
            "the store's URL has an '@' too many: it cannot be told where the password ends",
            hint="write @ / ? and % in a name or password as %40 %2F %3F and %25",
        )
    try:
        known = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.Error:  # whose text may quote the password
        raise UsageError(
            f"the store's URL is no PostgreSQL URL that libpq can read, {_SPELLING}",
            hint="write @ / ? and % in a name or password as %40 %2F %3F and %25",
        ) from None
    return Address(_shown(known), str(known["password"]) if known.get("password") else None, known)


def _shown(known: dict[str, Any]) -> str:
    user = f"{known['user']}@" if known.get("user") else ""
    host, port = str(known.get("host", "")), known.get("port")
    database = f"/{known['dbname']}" if known.get("dbname") else ""
    if host.startswith("/"):  # the folder of a socket
        return f"postgresql://{user}{database or '/'}?host={host}" + (f"&port={port}" if port else "")
    return f"postgresql://{user}{host}{f':{port}' if port else ''}{database}"
