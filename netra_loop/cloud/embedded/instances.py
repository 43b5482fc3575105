"""All instances, in a fleet for each revision, started when a deploy or a request needs them.

Identities are kept in a file, and every process carries a mark, so that whatever a killed server left behind is found
and ended when the next one starts on the same state folder.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from netra_loop import processes
from netra_loop.cloud.embedded.files import read_json, write_json
from netra_loop.cloud.embedded.fleet import AUTOSCALING, Fleet
from netra_loop.cloud.embedded.instance import MARK, Instance, Launch
from netra_loop.cloud.embedded.recorder import Recorder

Prepare = Callable[[Launch], Awaitable[Launch]]


class Instances:
    """The pool. Keys are full revision names. `prepare` completes what is to be started, or raises StartFailed."""

    def __init__(self, recorder: Recorder, file: Path, prepare: Prepare) -> None:
        self._recorder = recorder
        self._file = file
        self._prepare = prepare
        self._fleets: dict[str, Fleet] = {}
        self._all: set[Instance] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def ensure(self, revision: str, launch: Launch, reason: str) -> None:
        """Returns once one of the revision's instances is up; the others of its least number follow.

        Raises StartFailed, NoInstance.
        """
        fleet = self._fleet(revision, launch)
        (await fleet.acquire(reason)).leave()
        fleet.keep_least()

    async def acquire(self, revision: str, launch: Launch) -> Instance:
        """An instance with a place for one request; see `Fleet.acquire`."""
        return await self._fleet(revision, launch).acquire(AUTOSCALING)

    def retire_all_but(self, wanted: Collection[str]) -> None:
        """Ends the instances of all other revisions, each after its requests; returns at once."""
        for revision in [name for name in self._fleets if name not in wanted]:
            for start in self._fleets.pop(revision).retire():
                self._ending.add(start)
                start.add_done_callback(self._ending.discard)

    async def close(self, grace_s: float) -> None:
        """Ends everything: SIGTERM, after `grace_s` SIGKILL. No instance is started any more."""
        self._closed = True
        self.retire_all_but(())
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*(instance.stop(grace_s) for instance in list(self._all)))
        await asyncio.gather(*self._ending, return_exceptions=True)
        await end_leftovers(self._file)

    def _fleet(self, revision: str, launch: Launch) -> Fleet:
        fleet = self._fleets.get(revision)
        if fleet is None:
            fleet = self._fleets[revision] = Fleet(launch, self._start, self._end)
        fleet.launch = launch
        return fleet

    async def _start(self, launch: Launch, reason: str) -> Instance:
        if self._closed:
            raise asyncio.CancelledError
        instance = await Instance.start(await self._prepare(launch), self._recorder, reason)
        self._all.add(instance)
        self._remember()
        try:
            await instance.until_up()
        except BaseException:
            await instance.stop(0)
            self._forget(instance)
            raise
        return instance

    def _end(self, instance: Instance) -> None:
        task = asyncio.create_task(self._retire(instance))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _retire(self, instance: Instance) -> None:
        await instance.retire()
        self._forget(instance)

    def _forget(self, instance: Instance) -> None:
        self._all.discard(instance)
        self._remember()

    def _remember(self) -> None:
        known = [instance.identity._asdict() for instance in self._all if instance.identity is not None]
        write_json(self._file, known, durable=False)


async def end_leftovers(file: Path) -> int:
    """Ends what an earlier server on this state folder left running; how many processes were found."""
    known = [processes.ProcessIdentity(**row) for row in read_json(file) or ()]
    strays = processes.carrying(MARK, str(file.parent))
    for identity in {*known, *strays}:
        await processes.end_known(identity, term_grace_s=0)
    write_json(file, [], durable=False)
    return len(strays)
