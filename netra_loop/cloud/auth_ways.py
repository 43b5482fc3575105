"""Two ways to a token that ask somebody: a bypass URL, a command. Each gives a `Token` or raises `Refused`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from netra_loop.clock import Clock, Elapsed, within
from netra_loop.processes import die_with_parent, end_tree
from netra_loop.values import dataclass

LIMIT_S = 30.0
TOKEN_MAX = 65_536
_GRACE_S = 1.0
_LOOPBACK = re.compile(r"localhost|.*\.localhost|127\..*|::1")


@dataclass(frozen=True)
class Token:
    """A token, and for how many seconds from now it is good where that was told. `status` as of the answer; `by` is who
    gave it, where there were several to ask.
    """

    text: str
    ttl_s: float | None = None
    status: int | None = None
    by: str = ""


class Refused(Exception):
    """No token came of it. `answer` may still hold secrets; `status` is the HTTP status where there was one."""

    def __init__(self, status: int | None, answer: str) -> None:
        super().__init__(answer)
        self.status = status
        self.answer = answer


# ---------------------------------------------------------------------------------------------------- bypass


async def ask_bypass(url: str, key: str, clock: Clock) -> Token:
    """POSTs the key to `url`, as a header and as JSON. Redirects are not followed: the key goes nowhere else."""
    try:
        response = await within(clock, LIMIT_S, _post(url, key))
    except Elapsed:
        raise Refused(None, f"{_place(url)} gave no answer within {LIMIT_S:g} s") from None
    except httpx.InvalidURL as error:
        raise Refused(None, f"{url!r} is no URL: {error}") from error
    except (httpx.HTTPError, OSError) as error:
        raise Refused(None, f"{_place(url)} cannot be reached: {error or type(error).__name__}") from error
    if response.has_redirect_location:
        raise Refused(response.status_code, f"redirected to {response.headers['location']}, which is not followed")
    if not response.is_success:
        raise Refused(response.status_code, _why(response))
    return _token_in(response)


async def _post(url: str, key: str) -> httpx.Response:
    """Proxies are the environment's, except to this machine."""
    outside = not _LOOPBACK.fullmatch(httpx.URL(url).host)
    # The limit is over the whole exchange, and the caller's.
    async with httpx.AsyncClient(timeout=None, trust_env=outside) as client:  # noqa: S113
        return await client.post(url, headers={"X-E2E-Bypass-Key": key}, json={"key": key})


def _place(url: str) -> str:
    """Host and port of a URL, without what may be secret in it."""
    return urlsplit(url).netloc.rpartition("@")[2] or repr(url)


def _json(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        return None


def _why(response: httpx.Response) -> str:
    """The reason in an error answer: what JSON calls detail, error or message, else the body, else the status."""
    value = _json(response)
    for name in ("detail", "error_description", "error", "message"):
        told = value.get(name) if isinstance(value, dict) else None
        if isinstance(told, dict):
            told = told.get("message")
        if isinstance(told, str) and told.strip():
            return told
    return response.text.strip() or response.reason_phrase


def _token_in(response: httpx.Response) -> Token:
    value, status = _json(response), response.status_code
    if isinstance(value, dict):
        text = next((value[name] for name in ("token", "access_token") if isinstance(value.get(name), str)), "")
        if not text:
            raise Refused(status, f"no token in the answer, only {', '.join(map(str, value)) or 'an empty object'}")
        ttl = value.get("expires_in")
        known = float(ttl) if isinstance(ttl, int | float) and not isinstance(ttl, bool) else None
        return Token(checked(text, status), known, status)
    return Token(checked(value if isinstance(value, str) else response.text, status), status=status)


def checked(text: str, status: int | None = None) -> str:
    """`text` as a token. Raises Refused where it cannot be one: it is empty, too long, or a page."""
    token = text.strip()
    if not token:
        raise Refused(status, "an empty answer, expected a token")
    if len(token) > TOKEN_MAX or not token.isascii() or not token.isprintable() or " " in token or token[0] == "<":
        raise Refused(status, f"{len(token)} characters that are no token, expected one word")
    return token


# ---------------------------------------------------------------------------------------------------- command


async def run_command(
    argv: Sequence[str], clock: Clock, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> Token:
    """What the command prints is the token. It has 30 s; whatever it started is ended with it."""
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=cwd,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
    except OSError as error:
        raise Refused(None, f"cannot start {argv[0]!r}: {error.strerror}") from error
    try:
        out, err = await within(clock, LIMIT_S, _outputs(process))
    except Elapsed:
        raise Refused(None, f"{argv[0]!r} did not end within {LIMIT_S:g} s") from None
    finally:
        await asyncio.shield(end_tree(process.pid, term_grace_s=_GRACE_S))
        await process.wait()
    if process.returncode:
        raise Refused(None, f"exit code {process.returncode}: {_said(err) or _said(out) or 'no output'}")
    return Token(checked(out))


async def _outputs(process: asyncio.subprocess.Process) -> tuple[str, str]:
    assert process.stdout is not None
    assert process.stderr is not None
    out, err, _ = await asyncio.gather(_read(process.stdout), _read(process.stderr), process.wait())
    return out, err


async def _read(stream: asyncio.StreamReader) -> str:
    """Drains the pipe and keeps its beginning; bytes that are no UTF-8 are shown escaped."""
    kept = bytearray()
    while chunk := await stream.read(65_536):
        kept += chunk[: TOKEN_MAX + 1 - len(kept)]
    return bytes(kept).decode("utf-8", "backslashreplace")


def _said(text: str) -> str:
    """The line that names the error, as gcloud's does with its advice below it, else the last one."""
    lines = [line.strip() for line in text.strip().splitlines()]
    return next((line for line in lines if line.startswith("ERROR:")), lines[-1] if lines else "")
