"""All instances: at most one for each revision, started when a deploy or a request needs it.

Identities are kept in a file, and every process carries a mark, so that whatever a killed server left behind is found
and ended when the next one starts on the same state folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from netra_loop import processes
from netra_loop.cloud.embedded.files import read_json, write_json
from netra_loop.cloud.embedded.instance import MARK, Instance, Launch
from netra_loop.cloud.embedded.recorder import Recorder


class Instances:
    """The pool. Keys are full revision names."""

    def __init__(self, recorder: Recorder, file: Path) -> None:
        self._recorder = recorder
        self._file = file
        self._running: dict[str, Instance] = {}
        self._starting: dict[str, asyncio.Task[Instance]] = {}
        self._all: set[Instance] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._closed = False

    async def ensure(self, revision: str, launch: Launch, reason: str) -> Instance:
        """The revision's instance, up; started where there is none or it died. Calls at one time share one start.

        Raises StartFailed. Cancelling does not stop a start that others may be waiting for.
        """
        running = self._running.get(revision)
        if running is not None and running.alive:
            return running
        task = self._starting.get(revision)
        if task is None:
            task = asyncio.create_task(self._start(revision, launch, reason))
            self._starting[revision] = task
            task.add_done_callback(lambda done: self._started(revision, done))
        return await asyncio.shield(task)

    def retire_all_but(self, wanted: Collection[str]) -> None:
        """Ends the instances of all other revisions, each after its requests; returns at once."""
        for revision in [name for name in self._running if name not in wanted]:
            task = asyncio.create_task(self._retire(self._running.pop(revision)))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def close(self, grace_s: float) -> None:
        """Ends everything: SIGTERM, after `grace_s` SIGKILL. No instance is started any more."""
        self._closed = True
        for task in (*self._starting.values(), *self._retiring):
            task.cancel()
        await asyncio.gather(*(instance.stop(grace_s) for instance in list(self._all)))
        await end_leftovers(self._file)

    async def _start(self, revision: str, launch: Launch, reason: str) -> Instance:
        if self._closed:
            raise asyncio.CancelledError
        instance = await Instance.start(launch, self._recorder, reason)
        self._all.add(instance)
        self._remember()
        try:
            await instance.until_up()
        except BaseException:
            await instance.stop(0)
            self._forget(instance)
            raise
        self._running[revision] = instance
        return instance

    def _started(self, revision: str, done: asyncio.Task[Instance]) -> None:
        del self._starting[revision]
        if not done.cancelled():
            done.exception()  # whoever waited was told; nobody waiting is no reason to complain

    async def _retire(self, instance: Instance) -> None:
        await instance.retire()
        self._forget(instance)

    def _forget(self, instance: Instance) -> None:
        self._all.discard(instance)
        self._remember()

    def _remember(self) -> None:
        known = [asdict(instance.identity) for instance in self._all if instance.identity is not None]
        write_json(self._file, known, durable=False)


async def end_leftovers(file: Path) -> int:
    """Ends what an earlier server on this state folder left running; how many processes were found."""
    known = [processes.ProcessIdentity(**row) for row in read_json(file) or ()]
    strays = processes.carrying(MARK, str(file.parent))
    for identity in {*known, *strays}:
        await processes.end_known(identity, term_grace_s=0)
    write_json(file, [], durable=False)
    return len(strays)
