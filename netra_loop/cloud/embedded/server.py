"""The embedded cloud as a process: one gRPC server on a unix socket, until it is told to end or its owner is gone.

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
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path

import grpc.aio

from netra_loop import processes
from netra_loop.cloud.embedded.access import Access
from netra_loop.cloud.embedded.calls import Gate
from netra_loop.cloud.embedded.files import make_folder, read_json, write_json
from netra_loop.cloud.embedded.instance import TERM_GRACE_S
from netra_loop.cloud.embedded.instances import end_leftovers
from netra_loop.cloud.embedded.knobs import KnobFile
from netra_loop.cloud.embedded.lifeline import Ending, watch_lifeline
from netra_loop.cloud.embedded.log_store import LogStore
from netra_loop.cloud.embedded.logging_api import LoggingApi
from netra_loop.cloud.embedded.metadata import Metadata
from netra_loop.cloud.embedded.operations import Operations
from netra_loop.cloud.embedded.recorder import Recorder
from netra_loop.cloud.embedded.rollout import Rollouts
from netra_loop.cloud.embedded.run_api import RunApi
from netra_loop.cloud.embedded.state import Resources
from netra_loop.cloud.embedded.vault import Vault

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


async def serve(
    folder: Path, *, seed: Path | None, lifeline: int | None, ready: asyncio.Future[str], vault: Vault | None = None
) -> None:
    """Serves until SIGTERM, SIGINT or the end of the lifeline; `ready` gets the endpoint. Leaves no process behind.

    `vault` holds what environment variables may be taken from; None: nothing.
    """
    processes.set_subreaper()
    ending = Ending()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.ask, TERM_GRACE_S)
    if lifeline is not None:
        watch_lifeline(lifeline, ending)
    make_folder(folder)
    with _lock(folder / "cloud.lock"), _socket_path(folder) as path:
        await end_leftovers(folder / "instances.json")
        async with _running(folder, seed, f"unix:{path}", ending, vault or Vault({})) as metadata:
            write_json(folder / "cloud.json", _whereabouts(path) | {"metadata": metadata})
            ready.set_result(f"unix:{path}")
            await ending.asked.wait()


@asynccontextmanager
async def _running(folder: Path, seed: Path | None, endpoint: str, ending: Ending, vault: Vault) -> AsyncIterator[str]:
    """Yields the address of the metadata server."""
    resources, inherited = Resources.load(folder / "resources.json", seed)
    knobs = KnobFile(folder)
    store = LogStore(folder / "entries.db", knobs)
    logging_api = LoggingApi(store, knobs)
    operations = Operations(knobs)
    access = Access(knobs)
    rollouts = Rollouts(resources, operations, Recorder(store), folder, knobs, access, vault)
    server = grpc.aio.server(options=OPTIONS, interceptors=[Gate(folder, knobs)])
    server.add_generic_rpc_handlers(
        (
            *RunApi(resources, operations, rollouts, access).handlers(),
            operations.handlers(),
            logging_api.handlers(),
        )
    )
    server.add_insecure_port(endpoint)
    metadata = Metadata(access)
    flushing = asyncio.create_task(_flush(store))
    try:
        await rollouts.resume(inherited=inherited)
        await metadata.open()
        await server.start()
        yield metadata.address
    finally:
        logging_api.close()
        await rollouts.close(ending.grace_s)
        await server.stop(grace=None)
        await metadata.close()
        flushing.cancel()
        await asyncio.gather(flushing, return_exceptions=True)
        store.close()


async def _flush(store: LogStore) -> None:
    while True:
        await asyncio.sleep(_FLUSH_S)
        store.flush()


@contextmanager
def _lock(file: Path) -> Iterator[None]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + _LOCK_PATIENCE_S
        while not _take(handle):
            if time.monotonic() > end:
                raise FolderHeld(f"another embedded cloud runs on {file.parent}")
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
    with contextlib.suppress(FileNotFoundError):
        (folder / "cloud.json").unlink()


def _whereabouts(path: Path) -> dict[str, object]:
    own, owner = processes.identify(os.getpid()), processes.identify(os.getppid())
    return {
        "endpoint": f"unix:{path}",
        "socket_folder": str(path.parent) if path.parent.name.startswith(_SHORT_PREFIX) else None,
        "server": asdict(own) if own is not None else None,
        "owner": asdict(owner) if owner is not None else None,
    }
