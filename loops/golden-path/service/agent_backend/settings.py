"""What the environment says, read once and checked at start-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class SettingsError(Exception):
    """The environment lacks a variable or holds a value that cannot be used."""


class OrchestratorSource(StrEnum):
    """Where a run gets its orchestrator from.

    The backend began with one orchestrator for the whole process, then kept a pool of them, and now makes one for each
    request. Both older ways can still be wired, but nothing fills what they read any more: that is the state in which
    an incomplete migration leaves a service, and what the two defects of this demo are.
    """

    REQUEST_FACTORY = "request-factory"
    PROCESS_SINGLETON = "process-singleton"
    SHARED_POOL = "shared-pool"


DEFECTS = {
    "": OrchestratorSource.REQUEST_FACTORY,
    "orchestrator": OrchestratorSource.PROCESS_SINGLETON,
    "blocked": OrchestratorSource.SHARED_POOL,
}
SECRET_BYTES = 32  # HS256 wants a key at least as long as its digest


@dataclass(frozen=True)
class Settings:
    """`port` 0 lets the system choose; the "listening" log entry says which one it was."""

    port: int
    host: str
    jwt_secret: str
    service: str
    revision: str
    project: str
    orchestrator_source: OrchestratorSource

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Raises SettingsError with a sentence that names the variable, what was found and what was expected."""
        port = environ.get("PORT", "8080")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise SettingsError(f"PORT is {port!r}, expected a number from 0 to 65535")
        secret = environ.get("JWT_SECRET", "")
        if len(secret.encode()) < SECRET_BYTES:
            found = f"has {len(secret.encode())} bytes" if secret else "is not set"
            raise SettingsError(f"JWT_SECRET {found}, expected at least {SECRET_BYTES} bytes")
        defect = environ.get("DEFECT", "")
        if defect not in DEFECTS:
            known = ", ".join(repr(name) for name in DEFECTS)
            raise SettingsError(f"DEFECT is {defect!r}, expected one of {known}")
        return cls(
            port=int(port),
            host=environ.get("HOST", "127.0.0.1"),
            jwt_secret=secret,
            service=environ.get("K_SERVICE", "agent-backend"),
            revision=environ.get("K_REVISION", "local"),
            project=environ.get("GOOGLE_CLOUD_PROJECT", "demo"),
            orchestrator_source=DEFECTS[defect],
        )
