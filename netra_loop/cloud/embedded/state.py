"""The resources: services, revisions and the ports they are reached at, in memory and in `resources.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.cloud import run_v2
from google.protobuf import json_format

from netra_loop.cloud.embedded.files import read_json, write_json
from netra_loop.cloud.embedded.withheld import Withheld

_VERSION = 2


class Resources:
    """What there is. Keys are full names; `ports` maps `(service, tag)` to a loopback port, tag "" being the service's
    own. Whoever changes something calls `save`."""

    def __init__(self, file: Path, withheld: Withheld | None = None) -> None:
        self._file = file
        self._withheld = withheld or Withheld({})
        self.services: dict[str, run_v2.Service] = {}
        self.revisions: dict[str, run_v2.Revision] = {}
        self.ports: dict[tuple[str, str], int] = {}

    @classmethod
    def load(cls, file: Path, seed: Path | None, withheld: Withheld | None = None) -> tuple[Resources, bool]:
        """What `file` holds; where there is no such file, what `seed` holds without its ports. True: it was inherited.
        What is `withheld` is never in the file, and put back into what comes out of it.

        Raises ValueError where a file is not one of ours.
        """
        resources = cls(file, withheld)
        found = read_json(file)
        inherited = found is None and seed is not None
        if inherited and seed is not None:
            found = read_json(seed)
        if found is not None:
            resources._fill(found, file if not inherited else seed)
            if inherited:
                resources.ports.clear()
        return resources, inherited

    def save(self) -> None:
        """Durable when it returns. Raises OSError where the disk does not take it."""
        write_json(
            self._file,
            {
                "version": _VERSION,
                "services": [self._row(run_v2.Service.pb(item)) for item in self.services.values()],
                "revisions": [self._row(run_v2.Revision.pb(item)) for item in self.revisions.values()],
                "ports": [[service, tag, port] for (service, tag), port in self.ports.items()],
            },
        )

    def revisions_of(self, service: str) -> list[run_v2.Revision]:
        """The service's revisions, newest first."""
        prefix = f"{service}/revisions/"
        return [item for name, item in reversed(self.revisions.items()) if name.startswith(prefix)]

    def _row(self, message: Any) -> Any:
        return self._withheld.out_of(json_format.MessageToDict(message))

    def _fill(self, found: Any, source: Path | None) -> None:
        version = found.get("version") if isinstance(found, dict) else None
        if not isinstance(version, int) or not 1 <= version <= _VERSION:
            raise ValueError(f"{source} holds no resources of version {_VERSION} or older")
        for row in found["services"]:
            service = run_v2.Service()
            known = self._withheld.back_into(row, version)
            json_format.ParseDict(known, run_v2.Service.pb(service), ignore_unknown_fields=True)
            self.services[service.name] = service
        for row in found["revisions"]:
            revision = run_v2.Revision()
            known = self._withheld.back_into(row, version)
            json_format.ParseDict(known, run_v2.Revision.pb(revision), ignore_unknown_fields=True)
            self.revisions[revision.name] = revision
        self.ports = {(service, tag): port for service, tag, port in found["ports"]}
