"""A runner whose tests' names tell no secret.

What a test is called is stored everywhere, as what everything else is found by. Values stand in the names of
parametrized tests (`test_login[hunter22]`), so what is between the brackets is redacted as it comes from the runner,
and the plan is given its real names back. Files, classes and functions are source code and stay as they are.

Names that differ only in a secret stay different: each that was redacted ends with a few digits of a digest of its real
name, keyed by the session (`test_login[[redacted]] #3fa9`). So it is the same name whatever else is collected, in
whatever order, in each process of the session. The digest is short and slow on purpose: whoever reads the store can
only tell of a guess that it is wrong, and one guess in 65,536 looks right.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Container, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from netra_loop.core.records import CollectedTest
from netra_loop.core.redact import Redactor
from netra_loop.execution.base import Collection, Finished, Notice, Planned, RunEvent, Runner, Started

_ROUNDS = 2_000  # of the digest: about a millisecond for each name that holds a secret
_BYTES = 2  # of it that are shown


class NamesHidden:
    """See `Runner`. `redactor` gives the one of the moment; what a name was shown as it stays. `session` is what the
    digests are keyed by.
    """

    def __init__(self, runner: Runner, redactor: Callable[[], Redactor], session: str) -> None:
        self._runner = runner
        self._session = session.encode()
        self._redactor = redactor
        self._shown: dict[str, str] = {}  # only of names that hold a secret
        self._plain: set[str] = set()  # those that were seen to hold none: what is learnt later changes no name
        self._real: dict[str, str] = {}
        self._collection: tuple[Collection, Collection] | None = None

    async def collect(self) -> Collection:
        """See `Runner.collect`."""
        found = await self._runner.collect()
        if self._collection is None or self._collection[0] is not found:
            self._learn(test.id for test in found.tests)
            self._learn(name for test in found.tests for name in test.shares)
            tests = found.tests if not self._shown else tuple(map(self._test, found.tests))
            self._collection = (found, replace(found, tests=tests) if tests is not found.tests else found)
        return self._collection[1]

    async def run(self, plan: Sequence[Planned]) -> AsyncIterator[RunEvent]:
        """See `Runner.run`."""
        real = plan if not self._real else [self._planned(planned) for planned in plan]
        async with aclosing(self._runner.run(real)) as events:  # type: ignore[type-var]
            async for event in events:
                yield event if not self._shown else self._event(event)

    async def renew(self, env: Mapping[str, str]) -> None:
        """See `Runner.renew`."""
        await self._runner.renew(env)

    async def close(self) -> None:
        """See `Runner.close`."""
        await self._runner.close()

    def _learn(self, names: Iterable[str]) -> None:
        """Finds a name to show for each that holds a secret."""
        names = list(names)
        unknown = [
            name for name in dict.fromkeys(names) if "[" in name and name not in self._shown and name not in self._plain
        ]
        text = self._redactor().text
        together = "\n".join(unknown)
        if text(together) == together and not any(len(value) == 64 for value in map(_value_of, unknown)):
            self._plain.update(unknown)
            return
        alike: defaultdict[str, list[tuple[bytes, str]]] = defaultdict(list)
        for name in unknown:
            fixed, bracket, value = name.partition("[")
            end = value.rfind("]")
            hidden = f"{fixed}{bracket}{text(value[:end])}{value[end:]}"
            if hidden != name:
                digest = hashlib.pbkdf2_hmac("sha256", name.encode("utf-8", "surrogatepass"), self._session, _ROUNDS)
                alike[f"{hidden} #{digest[:_BYTES].hex()}"].append((digest, name))
            else:
                self._plain.add(name)
        taken = {*names, *self._real}
        for shown, same in alike.items():
            for _, name in sorted(same):  # mostly one; of several each is the same in every process, as they all are
                self._shown[name] = other = _free(shown, taken)
                self._real[other] = name
                taken.add(other)

    def _test(self, test: CollectedTest) -> CollectedTest:
        shares = tuple(self._shown.get(name, name) for name in test.shares)
        return replace(test, id=self._shown.get(test.id, test.id), shares=shares)

    def _planned(self, planned: Planned) -> Planned:
        fixtures = tuple((self._real.get(name, name), took) for name, took in planned.fixtures)
        return replace(planned, id=self._real.get(planned.id, planned.id), fixtures=fixtures)

    def _event(self, event: RunEvent) -> RunEvent:
        if isinstance(event, Finished):
            fixtures = {self._shown.get(name, name): took for name, took in event.fixtures.items()}
            return replace(event, id=self._shown.get(event.id, event.id), fixtures=fixtures)
        if isinstance(event, Started):
            return replace(event, id=self._shown.get(event.id, event.id))
        assert isinstance(event, Notice)
        return event


def _free(name: str, taken: Container[str]) -> str:
    number, shown = 1, name
    while shown in taken:
        number += 1
        shown = f"{name}.{number}"
    return shown


def _value_of(name: str) -> str:
    return name.partition("[")[2][:-1]
