"""A private PostgreSQL server for tests: its own folder, its own socket, gone with the process that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

_RULES = """\
local all all trust
host all needs_password 127.0.0.1/32 scram-sha-256
host all nobody_may 127.0.0.1/32 reject
host all all 127.0.0.1/32 trust
"""
_START_S = 60.0
_PR_SET_PDEATHSIG = 1


class Missing(Exception):
    """What is not installed here, so that there can be no server."""


class PrivatePostgres:
    """A server on a socket in its folder and on a port of the loopback. Raises Missing where it cannot be had.

    `close` it; a process that is killed leaves the folder, and no server.
    """

    def __init__(self, *, options: tuple[str, ...] = ()) -> None:
        self._programs = _programs()
        self._user = _user()
        self.folder = Path(tempfile.mkdtemp(prefix="netra-loop-postgres-"))
        self.port = _free_port()
        self._options = options
        self._server: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            found = pwd.getpwnam(self._user)
            os.chown(self.folder, found.pw_uid, found.pw_gid)
        try:
            self._make()
            self.start()
        except BaseException:
            self.close()
            raise

    # ------------------------------------------------------------------------------------------------ addresses

    def url(self, *, schema: str | None = None, user: str = "netra", host: str | None = None) -> str:
        """A store's URL over the socket, or over TCP where `host` (with its port) is given; in a schema of that name,
        which has to be there.
        """
        query = {"host": str(self.folder), "port": str(self.port)} if host is None else {}
        if schema is not None:
            query["options"] = f"-csearch_path={schema}"
        told = "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        return f"postgresql://{user}@{host or ''}/postgres" + (f"?{told}" if told else "")

    def url_of_new_schema(self, **where: Any) -> str:
        """The URL of an empty store beside the others on this server."""
        schema = f"s{secrets.token_hex(6)}"
        self.execute(f"CREATE SCHEMA {schema}")
        return self.url(schema=schema, **where)

    def execute(self, statement: str, **where: Any) -> list[tuple[Any, ...]]:
        """Runs one statement as the server's owner."""
        import psycopg  # of use here alone

        with psycopg.connect(self.url(**where), autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    # ------------------------------------------------------------------------------------------------ running

    def start(self) -> None:
        """Returns once it answers. It ends with the thread that calls this: let that be the main one."""
        data = ["-D", str(self.folder / "data"), "-k", str(self.folder), "-p", str(self.port)]
        settings = ["listen_addresses=127.0.0.1", "fsync=off", "shared_buffers=16MB", "max_connections=40"]
        settings += ["autovacuum=off", "logging_collector=off", *self._options]
        told = [word for setting in settings for word in ("-c", setting)]
        command = [str(self._programs / "postgres"), *data, *told]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_tied(),  # noqa: PLW1509 - what it calls was loaded before
                **self._rights(),
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self, *, immediately: bool = False) -> None:
        """Ends it; `immediately` is how a crash ends it: nothing is said, nothing is written. Safe to repeat."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                self._server.send_signal(signal.SIGQUIT if immediately else signal.SIGINT)
            self._server.wait()
            self._server = None

    def close(self) -> None:
        """Ends it and removes its folder. Safe to repeat."""
        self.stop(immediately=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        program = [str(self._programs / "initdb"), "-D", str(self.folder / "data")]
        how = ["-N", "-A", "trust", "-U", "netra", "-E", "UTF8", "--no-locale", "--no-instructions"]
        made = subprocess.run([*program, *how], capture_output=True, check=False, cwd="/", **self._rights())
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.decode(errors='replace')}")
        (self.folder / "data" / "pg_hba.conf").write_text(_RULES)

    def _answers(self) -> bool:
        import psycopg  # of use here alone

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def _rights(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root."""
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}


def _tied() -> Callable[[], None] | None:
    """Called in the child once it has its rights: ends it with the process that started it, however that ends."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
        if os.getppid() != parent:
            os._exit(1)

    return tie


def _programs() -> Path:
    """The folder of PostgreSQL's programs, the newest there are."""
    on_path = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda found: float(found.parent.name))
    for folder in [*on_path, *reversed(installed)]:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise Missing("PostgreSQL's programs (initdb, postgres) are neither on PATH nor in /usr/lib/postgresql/*/bin")


def _user() -> str | None:
    """Whom to run it as: None for ourselves."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in ("postgres", "nobody"):
        if name in known:
            return name
    raise Missing("PostgreSQL does not run as root, and there is neither a user 'postgres' nor 'nobody'")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
