"""The phases by the word of `uses` that names them, each imported when it is first asked for: a loop uses a few."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module

from netra_loop.phases.base import Phase


class Table(Mapping[str, Phase]):
    """Made from the module of this room and the class of each."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = places
        self._made: dict[str, Phase] = {}

    def __getitem__(self, uses: str) -> Phase:
        if uses not in self._made:
            module, kind = self._places[uses]
            self._made[uses] = getattr(import_module(f"netra_loop.phases.{module}"), kind)()
        return self._made[uses]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def ready(self, uses: Iterable[str]) -> None:
        """Imports these; safe in any thread."""
        for one in uses:
            self[one]
