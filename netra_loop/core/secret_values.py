"""Which values are secrets everywhere, and which only where their name says so.

A value that is long and like no word is a secret wherever it stands, whatever is around it. A short one, a plain word
or a name that the loop has for something else would be found in innocent text, and hiding it there would take away
what everybody may know; so it is hidden only where it is the secret: after its name, in a URL's user and password, in
a header. `telling` draws the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from typing import Any

from netra_loop.core.redact import Redactor
from netra_loop.core.secret_names import names_secret, passwords_in
from netra_loop.core.secret_spellings import MIN_LENGTH
from netra_loop.values import dataclass

_ONE_WORD = re.compile(r"[a-z]+|[A-Z]+|[A-Z][a-z]+|[0-9]+")
_LONGEST_WORD = 15  # of letters or digits alone: what is longer is no word any more
_FEWEST_CHARACTERS = 4  # that differ
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:(?P<user>[^\s/@:]*)(?P<password>:[^\s/@]*)?@)?(?P<place>[^\s?#]*)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+~-]{1,300}")
_BETWEEN = re.compile(r"[/:@,]+")
_CHANCE = re.compile(r"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-Za-z0-9]{16,}")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value, where it comes from, and the names that it stands under."""

    label: str
    value: str = field(repr=False)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Secrets:
    """All that are known. `words` are what the loop has other uses for, in lower case; `kept` are texts, such as the
    session's id, that stay whole whatever they hold.
    """

    known: Sequence[Secret] = ()
    words: AbstractSet[str] = frozenset()
    kept: Sequence[str] = ()

    def told(self, *more: str) -> dict[str, Any]:
        """What a `redactor_of` needs, as JSON. `more` are values that were learnt since, such as a token."""
        everywhere = [one.value for one in self.known if telling(one.value, self.words)]
        named = [[name, one.value] for one in self.known if not telling(one.value, self.words) for name in one.names]
        return {
            "everywhere": list(dict.fromkeys([*everywhere, *(value for value in more if telling(value, self.words))])),
            "named": named,
            "kept": list(self.kept),
        }

    def redactor(self, *more: str) -> Redactor:
        """What hides them; `more` as in `told`."""
        return redactor_of(self.told(*more))

    def in_their_place_only(self) -> list[Secret]:
        """Those that are not hidden wherever they appear."""
        return [one for one in self.known if not telling(one.value, self.words)]


def of_environment(environ: Mapping[str, str]) -> Iterator[Secret]:
    """What a process's environment has: variables whose names say so, as a whole, and passwords within URLs."""
    for name, value in environ.items():
        if names_secret(name):
            yield Secret(f"the variable {name}", value, (name,))
        yield from of_urls(f"the variable {name}", value)


def of_urls(label: str, value: str) -> Iterator[Secret]:
    """The passwords of the URLs in `value`, which stand where it comes from."""
    if "://" in value:
        for number, password in enumerate(passwords_in(value)):
            yield Secret(f"{label}, password {number}", password)


def redactor_of(told: Mapping[str, Any]) -> Redactor:
    """The redactor of what `Secrets.told` told, perhaps to another process."""
    return Redactor(told["everywhere"], ((name, value) for name, value in told["named"]), told["kept"])


def telling(value: str, words: AbstractSet[str] = frozenset()) -> bool:
    """Whether `value` is hidden wherever it stands: it has `MIN_LENGTH` characters or more, at least four of them
    different, is no single word or number of up to 15 letters or digits, and none of `words`.
    """
    if len(value) < MIN_LENGTH or len(set(value)) < _FEWEST_CHARACTERS or value.casefold() in words:
        return False
    return len(value) > _LONGEST_WORD or _ONE_WORD.fullmatch(value) is None


def by_chance(text: str) -> bool:
    """Whether something in `text` looks as if chance had made it: 16 letters and digits or more, both among them."""
    return _CHANCE.search(text) is not None


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """The names in `texts`, in lower case: each that is plain as such, and the parts of paths, hosts and URLs, whose
    passwords and parameters are none. Texts of another form say no names; what chance made is none.
    """
    found: set[str] = set()
    for text in texts:
        url = _URL.fullmatch(text) or _URL.match(text)
        if url is not None:
            found |= {url["user"] or "" if url["password"] else "", *_parts(url["place"])}
        elif _PLAIN.fullmatch(text):
            found |= {text, *_parts(text)}
    return frozenset(word.casefold() for word in found if word and not by_chance(word))


def _parts(place: str) -> Iterator[str]:
    for part in _BETWEEN.split(place):
        yield from (part, part.partition(".")[0])
