"""What tests are called where a name holds a secret.

Values stand in the names of parametrized tests (`test_login[hunter22]`), so what is between the brackets is redacted.
Files, classes and functions are source code and stay as they are.

Names that differ only in a secret stay different: each that was redacted ends with a few digits of a digest of its real
name, keyed by the session (`test_login[[redacted]] #3fa9`). So it is the same name whatever else is collected, in
whatever order, in each process of the session. The digest is short and slow on purpose: whoever reads the store can
only tell of a guess that it is wrong, and one guess in 65,536 looks right.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping

from netra_loop.core.redact import MARK, Redactor

_ROUNDS = 2_000  # of the digest: about a millisecond for each name that holds a secret
_BYTES = 2  # of it that are shown


class ShownNames:
    """The names of one session. `redactor` gives the one of the moment. `earlier` are names as they were shown before,
    in another process: they are kept, also where what was a secret then is not known to be one any more, or the other
    way round. Values that are found out so are handed to `learn`.
    """

    def __init__(
        self,
        session: str,
        redactor: Callable[[], Redactor],
        earlier: Iterable[str] = (),
        learn: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._session = session.encode()
        self._redactor = redactor
        self._learn = learn
        self._shown: dict[str, str] = {}  # only of names that hold a secret
        self._real: dict[str, str] = {}
        given = [name for name in earlier if "[" in name]
        self._earlier = {name for name in given if MARK in name}
        self._plain = set(given) - self._earlier  # what is learnt later changes no name

    def __bool__(self) -> bool:
        """Whether any name is shown as another."""
        return bool(self._shown)

    def shown(self, name: str) -> str:
        """What the test that is really called `name` is called."""
        return self._shown.get(name, name)

    def real(self, shown: str) -> str:
        """The real name of what is called `shown`."""
        return self._real.get(shown, shown)

    def look(self, names: Iterable[str]) -> None:
        """Finds a name to show for each that holds a secret; a name that was looked at keeps what it has."""
        unknown = [name for name in dict.fromkeys(names) if "[" in name and name not in self._shown]
        unknown = [name for name in unknown if name not in self._plain]
        rest = self._hide(unknown)
        left = self._earlier - self._real.keys()
        if left and rest and self._recall(rest, left):
            rest = self._hide([name for name in rest if name not in self._shown])
        self._plain.update(rest)

    def _hide(self, names: list[str]) -> list[str]:
        """Names those that hold a secret; returns the rest."""
        text = self._redactor().text
        together = "\n".join(names)
        if text(together) == together and not any(len(name.partition("[")[2]) == 65 for name in names):
            return names
        hidden: defaultdict[str, list[str]] = defaultdict(list)
        rest: list[str] = []
        for name in names:
            fixed, bracket, value = name.partition("[")
            end = value.rfind("]")
            said = f"{fixed}{bracket}{text(value[:end])}{value[end:]}"
            if said == name:
                rest.append(name)
            else:
                hidden[f"{said} #{self._digest(name)[:_BYTES].hex()}"].append(name)
        taken = {*names, *self._real, *self._plain}
        for said, alike in hidden.items():  # mostly one; of several each has the same place in every process
            for name in self._in_order(alike):
                shown = _free(said, taken)
                self._name(name, shown)
                taken.add(shown)
        return rest

    def _recall(self, names: Iterable[str], left: Iterable[str]) -> bool:
        """Finds real names for those shown before whose secret nobody tells of any more."""
        said_of: defaultdict[str, dict[str, set[str]]] = defaultdict(dict)  # by test: digests of each that looks alike
        for shown in left:
            said, _, digits = shown.rpartition(" #")
            said_of[shown.partition("[")[0]].setdefault(said, set()).add(digits.partition(".")[0])
        as_real = {said: _as_real(said) for alike in said_of.values() for said in alike}
        found: defaultdict[str, dict[str, re.Match[str]]] = defaultdict(dict)
        for name in names:
            for said, digests in said_of.get(name.partition("[")[0], {}).items():
                match = as_real[said].fullmatch(name)
                if match is not None and (digits := self._digest(name)[:_BYTES].hex()) in digests:
                    found[f"{said} #{digits}"][name] = match
        for said, alike in found.items():
            for name in self._in_order(alike):
                self._name(name, _free(said, self._real))
                for value in alike[name].groups():
                    self._learn(value)
        return bool(found)

    def _name(self, name: str, shown: str) -> None:
        self._shown[name] = shown
        self._real[shown] = name

    def _in_order(self, alike: Collection[str]) -> Collection[str]:
        return alike if len(alike) == 1 else sorted(alike, key=self._digest)

    def _digest(self, name: str) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", name.encode("utf-8", "surrogatepass"), self._session, _ROUNDS)


def _as_real(said: str) -> re.Pattern[str]:
    """What real names that are shown as `said` look like, each value that was hidden a group."""
    return re.compile("(.+?)".join(map(re.escape, said.split(MARK))), re.DOTALL)


def shown_of(names: ShownNames, values: Mapping[str, float]) -> dict[str, float]:
    """`values` under the names that are shown."""
    return {names.shown(name): value for name, value in values.items()}


def _free(name: str, taken: Container[str]) -> str:
    number, shown = 1, name
    while shown in taken:
        number += 1
        shown = f"{name}.{number}"
    return shown
