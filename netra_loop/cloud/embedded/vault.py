"""The embedded Secret Manager: values by name and version, in memory only."""

from __future__ import annotations

import json
from collections.abc import Mapping

LATEST = "latest"


class Vault:
    """Keys are `NAME`, whose only version is 1, or `NAME:VERSION`. `latest` is the highest version there is.

    Nothing of it is ever written: a server that starts again is given its secrets again.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._versions: dict[str, dict[str, str]] = {}
        for key, value in values.items():
            name, _, version = key.partition(":")
            self._versions.setdefault(name.rpartition("/")[2], {})[version or "1"] = value

    @classmethod
    def of_json(cls, text: str) -> Vault:
        """From `{"NAME": "value", …}`; empty text gives an empty one. Raises ValueError for anything else."""
        values = json.loads(text) if text.strip() else {}
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise ValueError("the secrets are no JSON object of texts")
        return cls(values)

    def access(self, name: str, version: str) -> str | None:
        """The value of `NAME` or `projects/P/secrets/NAME`; None where there is no such secret or version."""
        versions = self._versions.get(name.rpartition("/")[2], {})
        if (version or LATEST) == LATEST:
            numbers = [key for key in versions if key.isdigit()]
            return versions[max(numbers, key=int)] if numbers else versions.get(LATEST)
        return versions.get(version)
