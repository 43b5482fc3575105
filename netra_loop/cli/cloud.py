"""`netra-loop cloud`: the embedded cloud by itself, for loops with an `endpoint`, for curl, for gcloud."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netra_loop.errors import EnvironmentFailed, StoreError, UsageError

if TYPE_CHECKING:
    from netra_loop.cloud.embedded.server import Listening, Whereabouts

PORT = 9010
TOKEN = "NETRA_LOOP_CLOUD_TOKEN"


def cloud(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="N", help=f"gRPC on 127.0.0.1; 0: any free port. Default: {PORT}."),
    ] = None,
    socket: Annotated[
        Path | None, typer.Option(metavar="PATH", help="gRPC on a unix socket of this user's instead of a port.")
    ] = None,
    rest_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="N", help="A REST view on 127.0.0.1 for curl and gcloud; 0: any port."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="What it keeps, from one start to the next. Default: .netra-loop/cloud."),
    ] = None,
    token: Annotated[
        bool | None,
        typer.Option(
            "--token/--no-token",
            help=f"Take calls only with a bearer token: {TOKEN}, or a new one. Default: on a port yes, on a socket no.",
        ),
    ] = None,
    knob: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Turn a knob, such as ingest_delay_ms=1500.")
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What its Secret Manager holds; NAME:VERSION=VALUE for a version."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output: one document once it serves.")] = False,
) -> None:
    """Run the embedded cloud by itself, until it is interrupted."""
    import asyncio
    import secrets

    from netra_loop.settings import read

    if port is not None and socket is not None:
        raise UsageError("--port and --socket were both given, expected one of them", hint="netra-loop cloud --help")
    settings = read()
    state = (folder or settings.state_dir() / "cloud").absolute()
    held = dict(_pair(text, "secret", "API_KEY=abc") for text in secret or ())
    wants_token = socket is None if token is None else token
    bearer = (settings.environ.get(TOKEN) or secrets.token_urlsafe(32)) if wants_token else None
    knobs = _knobs_of(knob or [])
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # read as grpc is imported; what it starts never only forks

    from netra_loop.cloud.embedded.server import FolderHeld, Listening, PlaceTaken

    chosen = None if socket is not None else PORT if port is None else port
    listening = Listening(chosen, socket, rest_port, bearer)
    try:
        asyncio.run(_serve(state, listening, held, knobs, as_json=as_json))
    except FolderHeld as error:
        raise StoreError(str(error), hint="end it, or give this one a folder of its own: --folder DIR") from error
    except PlaceTaken as error:
        raise EnvironmentFailed(str(error), hint="--port 0, and --rest-port 0, take any that is free") from error


async def _serve(
    state: Path, listening: Listening, secrets: dict[str, str], knobs: dict[str, Any], *, as_json: bool
) -> None:
    import asyncio
    import logging

    from netra_loop.cloud.embedded.files import make_folder
    from netra_loop.cloud.embedded.server import serve
    from netra_loop.cloud.embedded.vault import Vault

    make_folder(state)
    form = "%(asctime)s %(levelname)s %(name)s %(message)s"
    logging.basicConfig(filename=state / "cloud.log", level=logging.INFO, format=form)
    ready: asyncio.Future[Whereabouts] = asyncio.get_running_loop().create_future()

    def tell(done: asyncio.Future[Whereabouts]) -> None:
        if not done.cancelled():
            _tell(done.result(), listening.token, state, as_json=as_json)

    ready.add_done_callback(tell)
    await serve(state, seed=None, lifeline=None, ready=ready, vault=Vault(secrets), listening=listening, knobs=knobs)


def _tell(where: Whereabouts, token: str | None, state: Path, *, as_json: bool) -> None:
    if as_json:
        told = {"endpoint": where.endpoint, "rest": where.rest or None, "token": token}
        more = {"metadata": where.metadata, "folder": str(state), "pid": os.getpid()}
        sys.stdout.write(json.dumps(told | more) + "\n")
        sys.stdout.flush()
        return
    lines = {"NETRA_LOOP_CLOUD_ENDPOINT": where.endpoint, "NETRA_LOOP_CLOUD_REST": where.rest, TOKEN: token}
    sys.stdout.write("".join(f"{name}={value}\n" for name, value in lines.items() if value))
    sys.stdout.flush()
    environment = f'{{cloud: google, project: demo, region: local, endpoint: "{where.endpoint}"}}'
    sys.stderr.write(
        f"the embedded cloud serves, and keeps what it has in {state}\n"
        f"in a loop file:\n  environments:\n    emulator: {environment}\n"
        + (f"who calls it needs {TOKEN} in the environment, as printed above\n" if token else "")
        + "it ends with Ctrl-C\n"
    )
    sys.stderr.flush()


def _knobs_of(given: list[str]) -> dict[str, Any]:
    from netra_loop.cloud.embedded.knobs import knob_of, knobs_of

    try:
        named = dict(knob_of(text) for text in given)
        knobs_of(named)
    except ValueError as error:
        raise UsageError(str(error), hint="docs/embedded-cloud.md says what each knob does") from error
    return named


def _pair(text: str, what: str, example: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageError(f"a --{what} has no name and value, expected NAME=VALUE such as {example}")
    return name, value
