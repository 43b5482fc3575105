"""The only reader of the environment: every other module is handed a `Settings`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

STATE_FOLDER = ".netra-loop"
STORE_FILE = "journal.db"
STORE_VARIABLE = "NETRA_LOOP_STORE"
_PASSWORD = re.compile(r"://[^:/?]*:(.*)@|[?&]password=([^&]*)", re.DOTALL)


class Settings(NamedTuple):
    """What the environment says. `environ` is a copy, as those who are started may have it: without the store's
    password. `store` None means SQLite beside the folder `loops/`.
    """

    environ: Mapping[str, str]
    store: str | None
    ci: bool
    cwd: Path

    @property
    def on_github(self) -> bool:
        """Whether this is a step of GitHub Actions."""
        return self.environ.get("GITHUB_ACTIONS") == "true"

    def state_dir(self, start: Path | None = None) -> Path:
        """`.netra-loop/` beside the nearest folder `loops/`, from `start` (default: the working directory) upwards.

        Where no folder holds `loops/`, the nearest existing `.netra-loop/` upwards, else one in the start itself.
        """
        origin = (start or self.cwd).resolve()
        for landmark in ("loops", STATE_FOLDER):
            for folder in (origin, *origin.parents):
                if (folder / landmark).is_dir():
                    return folder / STATE_FOLDER
        return origin / STATE_FOLDER

    def command(self, near: Path | None = None) -> str:
        """How netra-loop has to be called in the working directory to find the store used for a loop `near`."""
        if self.store is not None:
            known = _for_others(self.store) == self.environ.get(STORE_VARIABLE)
            return "netra-loop" if known else f"netra-loop --store {shlex.quote(without_password(self.store))}"
        used = self.state_dir(near)
        if used == self.state_dir():
            return "netra-loop"
        return f"netra-loop --store {shlex.quote(f'sqlite:///{used / STORE_FILE}')}"


def is_server(store: str) -> bool:
    """Whether a store's URL names a PostgreSQL server, not a file."""
    return store.partition("://")[0] in {"postgresql", "postgres", "postgresql+psycopg"}


def without_password(store: str) -> str:
    """A store's URL as it may be shown, with `***` for what may be a password, or a part of one."""
    if not is_server(store):
        return store
    plain = re.sub(r"(://[^:/?]*:).*@", r"\1***@", store, flags=re.DOTALL)
    return re.sub(r"(password=)[^&]*", r"\1***", plain)


def passwords_of(store: str | None) -> tuple[str, ...]:
    """The password in a store's URL, as written there and as it is meant; none where it has none."""
    from urllib.parse import unquote  # of use for a server alone

    found = _PASSWORD.findall(store) if store is not None and is_server(store) else []
    written = [part for pair in found for part in pair if part]
    return tuple(dict.fromkeys([*written, *map(unquote, written)]))


def without_store_password(environ: Mapping[str, str]) -> dict[str, str]:
    """A copy of `environ` for those who are started: the store's password is for none of them. What else is in its URL
    they may know.
    """
    given = dict(environ)
    if STORE_VARIABLE in given:
        given[STORE_VARIABLE] = _for_others(given[STORE_VARIABLE])
    return given


def _for_others(store: str) -> str:
    if not is_server(store):
        return store
    plain = re.sub(r"(://[^:/?]*):.*@", r"\1@", store, flags=re.DOTALL)
    return re.sub(r"[?&]password=[^&]*$|(?<=[?&])password=[^&]*&", "", plain)


def read(store: str | None = None) -> Settings:
    """The settings of this process; `store` (the command line's) wins over `NETRA_LOOP_STORE`."""
    return Settings(
        environ=without_store_password(os.environ),
        store=store or os.environ.get(STORE_VARIABLE) or None,
        ci=os.environ.get("CI", "").lower() not in {"", "0", "false"},
        cwd=Path.cwd(),
    )
