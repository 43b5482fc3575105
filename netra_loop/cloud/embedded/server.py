"""The embedded cloud as a process: one gRPC server, until it is told to end or its owner is gone.

It listens on a unix socket in the state folder, or where `Listening` says.

The state folder (mode 0700) holds:

    cloud.lock      held for as long as a server runs on the folder
    cloud.json      where it listens, who it is, who its owner is
    resources.json  services, revisions, ports
    instances.json  the processes that run
    entries.db      log entries
    knobs.json      what was turned, see `knobs`
    calls.json      how often each method was called
    cloud.log       what the server itself has to say
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc.aio

from netra_loop import processes
from netra_loop.cloud.embedded.access import Access
from netra_loop.cloud.embedded.bearer import BearerGate
from netra_loop.cloud.embedded.calls import Gate
from netra_loop.cloud.embedded.files import make_folder, read_json, write_json
from netra_loop.cloud.embedded.instance import TERM_GRACE_S
from netra_loop.cloud.embedded.instances import end_leftovers
from netra_loop.cloud.embedded.knobs import FILE as KNOBS
from netra_loop.cloud.embedded.knobs import KnobFile, set_knobs
from netra_loop.cloud.embedded.lifeline import Ending, watch_lifeline
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.logging_api import LoggingApi
from netra_loop.cloud.embedded.metadata import Metadata
from netra_loop.cloud.embedded.operations import Operations
from netra_loop.cloud.embedded.recorder import Recorder
from netra_loop.cloud.embedded.rest import Rest
from netra_loop.cloud.embedded.rollout import Rollouts
from netra_loop.cloud.embedded.run_api import RunApi
from netra_loop.cloud.embedded.state import Resources
from netra_loop.cloud.embedded.vault import Vault
from netra_loop.cloud.embedded.withheld import Withheld
from netra_loop.values import dataclass

_FLUSH_S = 0.05
_LOCK_PATIENCE_S = 4.0  # for a server that is about to end, because its owner did
_LONGEST_SOCKET_PATH = 100  # the system's limit is 107 bytes
_SHORT_PREFIX = "netra-loop-cloud-"
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")
OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
]


class FolderHeld(Exception):  # said to a person, then the process ends
    """Another server runs on the state folder."""


class PlaceTaken(Exception):  # said to a person, then the process ends
    """What it should listen on is somebody else's."""


@dataclass(frozen=True)
class Listening:
    """Where a server can be reached beside what it decides itself. `port` is gRPC on 127.0.0.1, 0 any; with neither it
    nor `socket` there is a unix socket in the state folder. `rest_port` is the REST view, None: none. Who calls must
    send `token`, where there is one.
    """

    port: int | None = None
    socket: Path | None = None
    rest_port: int | None = None
    token: str | None = None


@dataclass(frozen=True)
class Whereabouts:
    """Where a server was found listening: `endpoint` as a loop file has it, `rest` "" where there is none."""

    endpoint: str
    rest: str = ""
    metadata: str = ""


async def serve(
    folder: Path,
    *,
    seed: Path | None,
    lifeline: int | None,
    ready: asyncio.Future[Whereabouts],
    vault: Vault | None = None,
    listening: Listening | None = None,
    knobs: Mapping[str, Any] | None = None,
    withheld: Withheld | None = None,
    leaving: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGTERM, SIGINT, SIGHUP or the end of the lifeline; `ready` gets where. Leaves no process behind.
    Then `leaving` is called, before anything of it ends.

    `vault` holds what environment variables may be taken from; None: nothing. `knobs` are the ones that are turned, all
    others having their defaults; None: as they were left. `withheld` are the values that are never written. Raises
    FolderHeld, PlaceTaken.
    """
    listening = listening or Listening()
    processes.set_subreaper()
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, ending.ask, TERM_GRACE_S)
    if lifeline is not None:
        watch_lifeline(lifeline, ending)
    make_folder(folder)
    with _lock(folder / "cloud.lock"), _address(folder, listening) as address:
        if knobs is not None:
            write_json(folder / KNOBS, {}, durable=False)
            set_knobs(folder, **knobs)
        await end_leftovers(folder / "instances.json")
        async with _running(
            folder, seed, address, listening, ending, vault or Vault({}), withheld or Withheld({})
        ) as where:
            write_json(folder / "cloud.json", _told(where))
            ready.set_result(where)
            await ending.asked.wait()
            leaving()


@asynccontextmanager
async def _running(
    folder: Path,
    seed: Path | None,
    address: str,
    listening: Listening,
    ending: Ending,
    vault: Vault,
    withheld: Withheld,
) -> AsyncIterator[Whereabouts]:
    resources, inherited = Resources.load(folder / "resources.json", seed, withheld)
    knobs = KnobFile(folder)
    store = LogStore(folder / "entries.db", knobs, withheld.redactor)
    logging_api = LoggingApi(store, knobs)
    operations = Operations(knobs)
    access = Access(knobs)
    rollouts = Rollouts(resources, operations, Recorder(store), folder, knobs, access, vault)
    own_gate = [BearerGate(listening.token)] if listening.token else []
    server = grpc.aio.server(options=OPTIONS, interceptors=[*own_gate, Gate(folder, knobs)])
    server.add_generic_rpc_handlers(
        (
            *RunApi(resources, operations, rollouts, access).handlers(),
            operations.handlers(),
            logging_api.handlers(),
        )
    )
    endpoint = _listen(server, address)
    metadata, rest = Metadata(access), Rest(endpoint.removeprefix("http://"))
    flushing = asyncio.create_task(_flush(store))
    try:
        if listening.rest_port is not None:
            await _open(rest, listening.rest_port)
        await rollouts.resume(inherited=inherited)
        await metadata.open()
        await server.start()
        yield Whereabouts(endpoint, rest.address, metadata.address)
    finally:
        logging_api.close()
        await rest.close()
        await rollouts.close(ending.grace_s)
        await server.stop(grace=None)
        await metadata.close()
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        store.close()


def _listen(server: grpc.aio.Server, address: str) -> str:
    """What it listens on from its start on; a socket is for this user alone. Raises PlaceTaken."""
    before = os.umask(0o077)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise PlaceTaken(f"{address} cannot be listened on: another program does, or this user may not") from error
    finally:
        os.umask(before)
    return address if address.startswith("unix:") else f"http://127.0.0.1:{port}"


async def _open(rest: Rest, port: int) -> None:
    try:
        await rest.open(port)
    except OSError as error:
        raise PlaceTaken(f"port {port} cannot be listened on: {error.strerror or error}") from error


async def _flush(store: LogStore) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        store.flush()


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(handle, 0o600)  # whatever the umask
    try:
        end = time.monotonic() + _LOCK_PATIENCE_S
        while not _take(handle):
            if time.monotonic() > end:
                holder = ((read_json(file.parent / "cloud.json") or {}).get("server") or {}).get("pid")
                who = f" as process {holder}" if holder else ""
                raise FolderHeld(f"another embedded cloud runs on {file.parent}{who}")
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _address(folder: Path, listening: Listening) -> Iterator[str]:
    """Where gRPC is listened on, as gRPC names it."""
    if listening.port is not None:
        _try_port(listening.port)
        yield f"127.0.0.1:{listening.port}"
    elif listening.socket is not None:
        with _own_socket(listening.socket.absolute()) as path:
            yield f"unix:{path}"
    else:
        with _socket_path(folder) as path:
            yield f"unix:{path}"
    with contextlib.suppress(FileNotFoundError):
        (folder / "cloud.json").unlink()


def _try_port(port: int) -> None:
    """Told before gRPC tells it, on stderr and in words of its own."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PlaceTaken(f"port {port} cannot be listened on: {error.strerror or error}") from error


@contextmanager
def _own_socket(path: Path) -> Iterator[Path]:
    """The socket that was asked for. What a dead server left there goes; anything else stays, and is in the way."""
    if path.exists() and not path.is_socket():
        raise PlaceTaken(f"{path} is there and no socket")
    if len(os.fsencode(path)) > _LONGEST_SOCKET_PATH:
        raise PlaceTaken(f"{path} is longer than the {_LONGEST_SOCKET_PATH} bytes that a socket's path may have")
    with socket.socket(socket.AF_UNIX) as probe:
        if path.exists() and probe.connect_ex(str(path)) == 0:
            raise PlaceTaken(f"{path} is another program's, which listens")
    path.unlink(missing_ok=True)
    yield path
    path.unlink(missing_ok=True)


@contextmanager
def _socket_path(folder: Path) -> Iterator[Path]:
    """A place for the socket: in the folder, or in a short one of our own where the folder's path will not do."""
    earlier = (read_json(folder / "cloud.json") or {}).get("socket_folder")
    if earlier is not None:
        shutil.rmtree(earlier, ignore_errors=True)
    path = folder.resolve() / "cloud.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH and _PLAIN.issuperset(str(path)):
        path.unlink(missing_ok=True)
        yield path
        path.unlink(missing_ok=True)
    else:
        short = tempfile.mkdtemp(prefix=_SHORT_PREFIX)  # made anew, mode 0700
        yield Path(short) / "cloud.sock"
        shutil.rmtree(short, ignore_errors=True)


def _told(where: Whereabouts) -> dict[str, object]:
    own, owner = processes.identify(os.getpid()), processes.identify(os.getppid())
    parent = Path(where.endpoint.removeprefix("unix:")).parent
    return {
        **asdict(where),
        "socket_folder": str(parent) if parent.name.startswith(_SHORT_PREFIX) else None,
        "server": own._asdict() if own is not None else None,
        "owner": owner._asdict() if owner is not None else None,
    }
