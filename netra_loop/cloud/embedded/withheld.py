"""Values that the embedded cloud works with and never writes: in its files stands where each was declared instead.

Whoever starts it says what the services are given that is a secret or holds one, by the place of its declaration
(`services.backend.env.JWT_SECRET`, `services.backend.command.3`). In the files such a value is an object,
`{"withheld": "services.backend.env.JWT_SECRET"}`, where every other text is a text: neither can be taken for the other.
A revision that comes back is given what its own declaration says today, as with a secret's version `latest`. A value
that nobody says any more is never made up: an instance that needs it does not start, and says what is missing.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import Any

from netra_loop.core.redact import Redactor

_KEY = "withheld"
_LABEL = re.compile(r"\[netra-loop keeps: ([^\]\n]*)\]")  # what version 1 of the files has within texts
_SERVICE = re.compile(r"/services/([^/]+)")
_GONE = f"[{secrets.token_hex(16)} no longer known: "  # nobody else can write it, as it is made anew for each process


class Withheld:
    """`values` by place of declaration, None: there is one that nobody knows now. `redactor` finds what is a secret
    in everything else; None: nothing is, since nobody said so.
    """

    def __init__(self, values: Mapping[str, str | None], redactor: Redactor | None = None) -> None:
        self._values = dict(values)
        self.redactor = redactor

    def out_of(self, resource: Mapping[str, Any]) -> Any:
        """A service or revision, as JSON, without what is withheld."""
        place = _place(resource)
        return self._out(resource, place, f"{place}, a text")

    def back_into(self, resource: Mapping[str, Any], version: int) -> Any:
        """The resource as it was before `out_of`, which wrote it as this version of the file's form."""
        return self._back(resource, _place(resource), version)

    def _out(self, value: Any, place: str, label: str) -> Any:
        if isinstance(value, Mapping):
            variable = _variable(value, place)
            if variable is not None and (variable in self._values or self._is_secret(value["value"])):
                return {**value, "value": {_KEY: variable}}
            return {key: self._out(item, place, _label(place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._out(item, place, f"{label}.{number}") for number, item in enumerate(value)]
        if isinstance(value, str) and self._is_secret(value):
            return {_KEY: label}
        return value

    def _back(self, value: Any, place: str, version: int) -> Any:
        if isinstance(value, Mapping):
            if version > 1 and value.keys() == {_KEY}:
                return self._known(value[_KEY])
            variable = _variable(value, place)
            if version == 1 and variable is not None and _LABEL.search(value["value"]):
                return {**value, "value": self._known(variable)}
            return {key: self._back(item, place, version) for key, item in value.items()}
        if isinstance(value, list):
            return [self._back(item, place, version) for item in value]
        if version == 1 and isinstance(value, str) and (found := _LABEL.search(value)) is not None:
            return gone(found[1])
        return value

    def _known(self, label: str) -> str:
        value = self._values.get(label)
        return gone(label) if value is None else value

    def _is_secret(self, text: str) -> bool:
        return text.startswith(_GONE) or (self.redactor is not None and self.redactor.text(text) != text)


def gone(label: str) -> str:
    """What stands for a value, declared at `label`, that is no longer known."""
    return f"{_GONE}{label}]"


def what_is_gone(text: str) -> str | None:
    """The place of the declaration, where `text` stands for a value that is no longer known; else None."""
    return text.removeprefix(_GONE).removesuffix("]") if text.startswith(_GONE) else None


def _place(resource: Mapping[str, Any]) -> str:
    found = _SERVICE.search(str(resource.get("name", "")))
    return f"services.{found[1] if found else ''}"


def _label(place: str, key: str) -> str:
    """The loop declares a container's command, whose words are told by their place in it; what else has a secret in it
    is known by no declaration.
    """
    return f"{place}.command" if key == "command" else f"{place}, {key}"


def _variable(value: Mapping[str, Any], place: str) -> str | None:
    """The label of an environment variable's entry; None for everything else."""
    if value.keys() <= {"name", "value"} and isinstance(value.get("value"), str) and isinstance(value.get("name"), str):
        return f"{place}.env.{value['name']}"
    return None
