"""Secrets of every kind, planted wherever something can say them: none is in a byte of what is kept or shown."""

from __future__ import annotations

import base64
import contextlib
import html
import json
import os
import pty
import sqlite3
import stat
import subprocess
import threading
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus

import psycopg
import pytest

SECRETS = {
    "MY_TOKEN": "process-Token/4+7=x",  # of the process's own environment
    "E2E_BYPASS_KEY": 'bypass "key"\\é with spaces',
    "JWT_SECRET": "jwt-signing-secret-0123456789-0123456789",
    "DB_LOGIN": "pa55~w0rd-in-a-url",
    "SERVICE_API_KEY": "written-in-the-loop-file?&",
    "api_key": "given-by-var:9f8e7d",
    "WEBHOOK_SECRET": "only-the-tests-have-this-1",
    "OF_STAGING": "of-an-environment-not-chosen-2",
}
SHAPES = {
    "cloud": "AKIAQWERTYUIOPASDFGH",
    "google": "AIzaSyD-planted_0123456789abcdefghijklmn",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJwbGFudGVkIn0.c2lnbmF0dXJlLW9mLWl0",
    "pem": base64.b64encode(bytes(range(7, 55))).decode(),
    "bearer": "opaque-bearer-4711-0815",
    "cookie": "session-cookie-3141592",
}

LOOP = """
version: 1
name: planted
description: "%(SERVICE_API_KEY)s is also written here"
vars: {api_key: "", user: somebody}  # %(SERVICE_API_KEY)s in a comment
environments:
  local: {cloud: embedded}
  staging: {cloud: embedded, secrets: {PEPPER: "%(OF_STAGING)s"}}
services:
  backend:
    source: golden-path/service
    command: [python, -m, agent_backend]
    env:
      JWT_SECRET: "${env.JWT_SECRET}"
      SERVICE_API_KEY: "%(SERVICE_API_KEY)s"
      GIVEN_API_KEY: "${vars.api_key}"
      DATABASE_URL: "postgresql://me:%(DB_LOGIN)s@127.0.0.1/db"
      PLANTED: "${env.PLANTED}"
    startup_probe: {path: /health, timeout: 60s, period: 250ms}
auth:
  - bypass: {url: "${env.AUTH_URL}", key: "${env.E2E_BYPASS_KEY}"}
  - jwt: {secret: "${env.JWT_SECRET}", subject: "${vars.user}"}
tests:
  root: golden-path
  paths: [golden-path/planted]
  env: {WEBHOOK_SECRET: "%(WEBHOOK_SECRET)s"}
  workers: 2
  timeout: 30s
journeys:
  with-a-header:
    steps:
      - request:
          url: "${services.backend.url}/api/me?api_key=%(SERVICE_API_KEY)s"
          headers: {X-Api-Key: "${vars.api_key}"}
phases:
  deploy: {uses: deploy}
  select: {uses: select}
  execute: {uses: execute}
  fixer: {uses: run, with: {command: [sh, -c, 'echo "$PLANTED"; cat "$NETRA_LOOP_BRIEF"']}}
  collect: {uses: collect-logs, with: {severity: DEFAULT, settle: 5s}}
  record: {uses: record, next: {met: done, unmet: stop}}
limits: {iterations: 1}
"""

SERVICE = """
import json, logging, os, time
for line in os.environ["PLANTED"].splitlines():
    for part in (line[: len(line) // 2], line[len(line) // 2 :] + "\\n"):  # of one line, at two moments
        os.write(1, part.encode())
        time.sleep(0.001)
for line in os.environ["PLANTED"].splitlines():
    print(line, flush=True)
    print(json.dumps({"severity": "ERROR", "message": line, "nested": {"said": [line]}}), flush=True)
"""

TESTS = """
import os, sys
import httpx, pytest

PLANTED = os.environ["PLANTED"]
URL = os.environ["NETRA_LOOP_URL"]
VALUES = ["%(api_key)s", "%(WEBHOOK_SECRET)s", "plain"]


@pytest.mark.parametrize("value", VALUES)
def test_named_after_it(value):
    print(value)
    assert value == "plain"


@pytest.fixture(params=["%(api_key)s"])
def account(request):
    yield request.param


def test_with_a_fixture(account):
    raise RuntimeError(f"the account {account} is closed:\\n" + PLANTED)


def test_prints_all():
    print(PLANTED)
    print(PLANTED, file=sys.stderr)
    os.write(1, PLANTED.encode())
    assert PLANTED == ""


def test_sends_them():
    for line in PLANTED.splitlines()[:30]:
        httpx.post(URL + "/api/me", params={"note": line}, json={"said": line}, headers={
            "Authorization": "Bearer %(bearer)s", "Cookie": "session=%(cookie)s", "X-Api-Key": "%(api_key)s"})
    assert httpx.get(URL + "/api/me", headers={"Authorization": "Bearer %(bearer)s"}).status_code == 200


def test_says_them_in_two_halves():
    for line in PLANTED.splitlines():
        os.write(1, line[: len(line) // 2].encode())
        os.write(1, line[len(line) // 2 :].encode() + b"\\n")
    assert not os.environ


def test_dies_of_them():
    print(PLANTED, file=sys.stderr, flush=True)
    os.abort()


def test_leaves_one_in_an_odd_place():
    sys.stdout.write("x" * 300_000 + PLANTED)
    pytest.fail("[%(WEBHOOK_SECRET)s]", pytrace=False)
"""


def forms(secret: str) -> dict[str, str]:
    """What the secret may look like; of base64 the part that it alone decides."""
    raw = secret.encode()
    known = {
        "raw": secret,
        "url": quote(secret, safe=""),
        "form": quote_plus(secret),
        "json": json.dumps(secret)[1:-1],
        "json, letters": json.dumps(secret, ensure_ascii=False)[1:-1],
        "hex": raw.hex(),
        "html": html.escape(secret),
        "url, twice": quote(quote(secret, safe=""), safe=""),
        "json, twice": json.dumps(json.dumps(secret)[1:-1])[1:-1],
    }
    for offset in range(3):
        coded = base64.b64encode(b"x" * offset + raw)
        inner = coded[(0, 2, 3)[offset] : (offset + len(raw)) * 8 // 6].decode()
        known |= {f"base64 at {offset}": inner, f"url-safe base64 at {offset}": inner.translate({43: "-", 47: "_"})}
    return known


def planted() -> str:
    """All that is said, a line for each form of each secret."""
    lines = [f"{name} is {text} here" for name, secret in SECRETS.items() for text in forms(secret).values()]
    for secret in SECRETS.values():
        lines += [base64.b64encode(b"ab"[:offset] + secret.encode() + b"z").decode() for offset in range(3)]
    lines += [SHAPES["cloud"], f"key={SHAPES['google']}", f"token {SHAPES['jwt']} end"]
    lines += ["-----BEGIN PRIVATE KEY-----", SHAPES["pem"], "-----END PRIVATE KEY-----"]
    lines += [f"Authorization: Bearer {SHAPES['bearer']}", f"Set-Cookie: session={SHAPES['cookie']}; Path=/"]
    return "\n".join([*lines, f"wss://me:{SECRETS['DB_LOGIN']}@host/ws"])


class _Refusing(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.dumps({"detail": f"no user has the key {self.headers['X-E2E-Bypass-Key']} or {planted()}"}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of somebody who refuses every key, and says which it was."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Ran:
    """What two sessions left: one in a CI's log, one on a screen."""

    folder: Path
    server: Path
    url: str
    shown: dict[str, bytes] = field(default_factory=dict)

    def call(self, project, env, *arguments: str) -> None:
        done = subprocess.run(
            project.command(*arguments), cwd=project.folder, env=env, capture_output=True, check=False
        )
        self.shown[" ".join(arguments)] = done.stdout + done.stderr

    def on_a_screen(self, project, env, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            project.command(*arguments), cwd=project.folder, env=env | {"TERM": "xterm", "CI": ""},
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        said = bytearray()
        with contextlib.suppress(OSError):  # the last holder of the other side is gone
            while chunk := os.read(ours, 65_536):
                said += chunk
        os.close(ours)
        process.wait()
        self.shown["on a screen"] = bytes(said)


@pytest.fixture(scope="module")
def ran(shared_demo, postgres):
    """The sessions as such; what they left is looked at from more than one side."""
    project = shared_demo
    named = {**SECRETS, **SHAPES}
    (project.folder / "loops" / "planted.yaml").write_text(LOOP % named, encoding="utf-8")
    main = project.folder / "loops/golden-path/service/agent_backend/__main__.py"
    main.write_text(main.read_text().replace("import asyncio\n", "import asyncio\n" + SERVICE, 1))
    tests = project.folder / "loops/golden-path/planted"
    tests.mkdir()
    (tests / "test_planted.py").write_text(TESTS % named, encoding="utf-8")
    told = Ran(project.folder, postgres.folder, postgres.url_of_new_schema())
    old = os.umask(0)  # whatever it is
    try:
        with refusing() as url:
            own = {name: SECRETS[name] for name in ("MY_TOKEN", "E2E_BYPASS_KEY", "JWT_SECRET")}
            env = project.environ() | own | {"PLANTED": planted(), "AUTH_URL": url}
            given = ("--var", f"api_key={SECRETS['api_key']}")
            files = {name: str(project.temporary / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
            ci = files | {"GITHUB_ACTIONS": "true"}
            told.call(project, env | ci, "run", "planted", "--plain", "-v", *given)
            told.shown |= {name: Path(path).read_bytes() for name, path in files.items()}
            told.on_a_screen(project, env, "--store", told.url, "run", "planted", *given)
            for listing in ("results", "findings", "logs", "journal", "status"):
                told.call(project, project.environ(), listing, "latest")
                told.call(project, project.environ(), listing, "latest", "--json")
            told.call(project, project.environ(), "results", "latest", "--test", "test_prints_all")
            told.call(project, project.environ(), "results", "latest", "--test", "test_sends_them", "--json")
    finally:
        os.umask(old)
    return told


def leaks(data: bytes) -> set[tuple[str, str]]:
    """Which secrets are in it, in which form."""
    wanted = {(name, form): text for name, secret in SECRETS.items() for form, text in forms(secret).items()}
    wanted |= {(name, "raw"): text for name, text in SHAPES.items()}
    return {key for key, text in wanted.items() if text.encode() in data}


def test_it_was_planted_where_it_could_be_found(ran):
    assert {name for name, _ in leaks(planted().encode())} == {*SECRETS, *SHAPES}
    assert b"passed" in ran.shown[next(iter(ran.shown))]
    results = [json.loads(line) for line in ran.shown["results latest --json"].splitlines()]
    outcomes = {result["id"].rpartition("::")[2]: result["outcome"] for result in results}
    assert sorted(name.partition(" #")[0] for name in outcomes) == [
        "test_dies_of_them",
        "test_leaves_one_in_an_odd_place",
        "test_named_after_it[[redacted]]",
        "test_named_after_it[[redacted]]",
        "test_named_after_it[plain]",
        "test_prints_all",
        "test_says_them_in_two_halves",
        "test_sends_them",
        "test_with_a_fixture[[redacted]]",
        "with-a-header",
    ]
    assert outcomes["test_dies_of_them"] == "crashed"
    assert outcomes["test_says_them_in_two_halves"] == outcomes["test_prints_all"] == "failed"
    assert outcomes["test_named_after_it[plain]"] != "error"
    entries = [json.loads(line) for line in ran.shown["logs latest --json"].splitlines()]
    assert sum("[redacted]" in str(entry["message"]) for entry in entries) > 50


def test_nothing_that_is_shown_holds_one(ran):
    assert {shown: found for shown, data in ran.shown.items() if (found := leaks(data))} == {}


def test_nothing_that_is_kept_holds_one(ran):
    files = [path for path in (ran.folder / ".netra-loop").rglob("*") if path.is_file() and not path.is_symlink()]
    assert any(path.name == "journal.db" for path in files)
    assert {str(path): found for path in files if (found := leaks(path.read_bytes()))} == {}


def unpacked(rows: Iterable[tuple[object, ...]]) -> bytes:
    """All that is in the rows, what is compressed as it was."""
    found = bytearray()
    for value in (value for row in rows for value in row):
        raw = value if isinstance(value, bytes) else str(value).encode()
        with contextlib.suppress(zlib.error):
            raw = zlib.decompress(raw)
        found += raw + b"\n"
    return bytes(found)


def test_nothing_that_is_kept_compressed_holds_one(ran):
    stores = [*(ran.folder / ".netra-loop").rglob("*.db")]
    journals = [path for path in stores if path.name.startswith("journal")]
    assert len(journals) >= 2  # the store and a snapshot of it
    for path in stores:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            found = b"".join(unpacked(connection.execute(f"SELECT * FROM {table}")) for table in tables)
        assert leaks(found) == set()
        assert b"test_named_after_it" in found or path not in journals


def test_nothing_that_a_server_keeps_holds_one(ran):
    with psycopg.connect(ran.url) as connection:
        of_ours = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        tables = [name for (name,) in connection.execute(of_ours)]
        found = b"".join(unpacked(connection.execute(f'SELECT * FROM "{table}"')) for table in tables)
        connection.execute("CHECKPOINT")
    assert b"test_named_after_it" in found
    assert leaks(found) == set()
    files = [path for path in ran.server.rglob("*") if path.is_file()]  # what it wrote ahead among them
    assert {str(path): said for path in files if (said := leaks(path.read_bytes()))} == {}


def test_what_is_kept_is_for_nobody_else(ran):
    """Copies of the source keep their files' own modes, behind a folder that nobody else can enter."""
    root = ran.folder / ".netra-loop"
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in (root, *root.rglob("*"))}
    behind = [path for path in modes if path.name == "sources" and path.is_dir()]
    assert len(behind) == 2
    told = {path: mode for path, mode in modes.items() if not any(above in path.parents for above in behind)}
    assert {str(path): oct(mode) for path, mode in told.items() if mode & 0o077} == {}
    assert len(modes) > 5


def test_what_the_embedded_cloud_keeps_of_a_variable_is_where_it_comes_from(ran):
    (own, *_) = sorted((ran.folder / ".netra-loop" / "sessions").glob("*/cloud/resources.json"))
    (revision, *_) = json.loads(own.read_text())["revisions"]
    kept = {variable["name"]: variable["value"] for variable in revision["containers"][0]["env"]}
    assert kept["JWT_SECRET"] == {"withheld": "services.backend.env.JWT_SECRET"}
