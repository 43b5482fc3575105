"""Google's identity token of whoever runs netra-loop, for services that IAM protects.

Three sources, as Google's own libraries and people go about it: a metadata server that the environment names
(`GCE_METADATA_HOST`, which the embedded cloud has one of), what google-auth finds (a service account's key, an
impersonation, the machine's own account), and, for people, `gcloud`.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import httpx

from netra_loop.clock import Clock, Elapsed, within
from netra_loop.cloud.auth_ways import LIMIT_S, Refused, Token, checked, run_command

METADATA_HOST = "GCE_METADATA_HOST"
_IDENTITY = "/computeMetadata/v1/instance/service-accounts/default/identity"
_CALL_S = 10.0  # of one request that google-auth makes; it makes several

T = TypeVar("T")


async def ask_identity(audience: str, clock: Clock, env: Mapping[str, str]) -> Token:
    """A token for `audience`, the service's main URL. It takes 30 s at most for each source. Raises Refused."""
    host = env.get(METADATA_HOST)
    if host:
        return await _of_metadata(host, audience, clock)
    try:
        text = await within(clock, LIMIT_S, in_thread(partial(_of_google_auth, audience)))
    except Elapsed:
        raise Refused(None, f"google-auth gave no answer within {LIMIT_S:g} s") from None
    except _NobodyError as nobody:
        return await _of_gcloud(clock, env, str(nobody))
    return Token(checked(text), by="google-auth")


class _NobodyError(Exception):
    """google-auth finds nobody who could have an identity token; the text says where it looked."""


async def in_thread(work: Callable[[], T]) -> T:
    """What `work` returns or raises, done beside the event loop. Cancelled, it is left to itself, and keeps no process
    from ending: a library that waits for somebody cannot be stopped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(put: Callable[[Any], None], what: Any) -> None:
        if not future.done():
            put(what)

    def tell(put: Callable[[Any], None], what: Any) -> None:
        try:
            loop.call_soon_threadsafe(settle, put, what)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def body() -> None:
        try:
            tell(future.set_result, work())
        except Exception as error:  # noqa: BLE001 - it is whoever waits that handles it
            tell(future.set_exception, error)

    threading.Thread(target=body, name="netra-loop-in-thread", daemon=True).start()
    return await future


async def _of_metadata(host: str, audience: str, clock: Clock) -> Token:
    try:
        answer = await within(clock, LIMIT_S, _get(host, audience))
    except Elapsed:
        raise Refused(None, f"the metadata server {host} gave no answer within {LIMIT_S:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        told = str(error) or type(error).__name__
        raise Refused(None, f"the metadata server {host} cannot be reached: {told}") from error
    if not answer.is_success:
        raise Refused(answer.status_code, answer.text.strip() or answer.reason_phrase)
    return Token(checked(answer.text.strip()), status=answer.status_code, by=f"the metadata server {host}")


async def _get(host: str, audience: str) -> httpx.Response:
    # The limit is over the whole exchange, and the caller's. A metadata server is never behind a proxy.
    async with httpx.AsyncClient(timeout=None, trust_env=False) as client:  # noqa: S113
        words = {"audience": audience, "format": "full"}
        return await client.get(f"http://{host}{_IDENTITY}", params=words, headers={"Metadata-Flavor": "Google"})


def _of_google_auth(audience: str) -> str:
    """Blocks. Raises Refused, or _NobodyError."""
    # google-auth and requests cost 100 ms: only loops with an identity token pay for them.
    from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
    from google.auth.transport.requests import Request
    from google.oauth2.id_token import fetch_id_token

    try:
        return str(fetch_id_token(_Impatient(Request()), audience))  # type: ignore[no-untyped-call]
    except DefaultCredentialsError as error:
        raise _NobodyError(str(error.args[0])) from error
    except GoogleAuthError as error:
        raise Refused(None, str(error.args[0] if error.args else error)) from error


class _Impatient:
    """A google-auth transport whose every request ends in time, whatever limit the library would have set."""

    def __init__(self, request: Callable[..., Any]) -> None:
        self._request = request

    def __call__(self, *args: Any, timeout: float | None = None, **more: Any) -> Any:
        return self._request(*args, timeout=min(timeout or _CALL_S, _CALL_S), **more)


async def _of_gcloud(clock: Clock, env: Mapping[str, str], before: str) -> Token:
    """What a person's own login gives. gcloud takes an audience from service accounts only; Cloud Run lets in people
    by the one that gcloud itself puts into theirs.
    """
    program = shutil.which("gcloud", path=env.get("PATH"))
    if program is None:
        raise Refused(None, f"{before} (google-auth); and gcloud is not installed")
    argv = [program, "auth", "print-identity-token", "--quiet"]
    try:
        found = await run_command(argv, clock, env={**env, "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"})
    except Refused as refused:
        told = f"`gcloud auth print-identity-token` gave {refused.answer}; google-auth: {before}"
        raise Refused(None, told) from refused
    return Token(found.text, by="gcloud")
