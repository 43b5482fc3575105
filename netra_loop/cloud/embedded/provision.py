"""What an instance needs before its process can start: its image, its secrets, and the time a knob asks for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from netra_loop.cloud.embedded.instance import Launch, StartFailed
from netra_loop.cloud.embedded.knobs import KnobFile, Knobs
from netra_loop.cloud.embedded.vault import Vault
from netra_loop.cloud.embedded.withheld import what_is_gone

OWN_IMAGES = "embedded://"
_READ_IMAGE = "service-agent/artifactregistry.repositories.downloadArtifacts"
_READ_SECRET = "secretmanager.versions.access"


class Provision:
    """Completes a launch."""

    def __init__(self, knobs: KnobFile, vault: Vault) -> None:
        self._knobs = knobs
        self._vault = vault

    async def prepared(self, launch: Launch) -> Launch:
        """`launch` with its secrets in place, after the cold start's time. Raises StartFailed."""
        knobs = self._knobs.last_good()
        _check_image(launch, knobs)
        _check_known(launch)
        env = {name: self._secret(launch, *wanted, knobs) for name, wanted in launch.secrets.items()}
        await asyncio.sleep(knobs.cold_start_ms / 1000)
        return replace(launch, env={**launch.env, **env})

    def _secret(self, launch: Launch, name: str, version: str, knobs: Knobs) -> str:
        full = f"projects/{launch.origin.project}/secrets/{name.rpartition('/')[2]}/versions/{version}"
        if _READ_SECRET in knobs.deny:
            raise StartFailed(
                "SECRETS_ACCESS_CHECK_FAILED",
                f"Permission denied on secret: {full} for Revision service account. The service account used must be "
                "granted the 'Secret Manager Secret Accessor' role (roles/secretmanager.secretAccessor) at the "
                "secret, project or higher level.",
            )
        value = self._vault.access(name, version)
        if value is None:
            raise StartFailed("SECRETS_ACCESS_CHECK_FAILED", f"Secret {full} was not found.")
        return value


def _check_known(launch: Launch) -> None:
    """A value that was kept out of the files and is known no more is told of, not made up."""
    for text in (*launch.env.values(), *launch.command):
        label = what_is_gone(text)
        if label is not None:
            raise StartFailed(
                "SECRETS_ACCESS_CHECK_FAILED",
                f"The value of {label} is a secret, or holds one, that is not stored, and it was not given again with "
                "this start: set the variables that it refers to, or deploy once more.",
            )


def _check_image(launch: Launch, knobs: Knobs) -> None:
    ours = launch.image.startswith(OWN_IMAGES)
    if not ours and _READ_IMAGE in knobs.deny:
        raise StartFailed(
            "CONTAINER_PERMISSION_DENIED",
            "Google Cloud Run Service Agent service-0@serverless-robot-prod.iam.gserviceaccount.com must have "
            f"permission to read the image, {launch.image}. Ensure that the provided container image URL is correct "
            "and that the above account has permission to access the image.",
        )
    if not ours and launch.image not in knobs.images:
        raise StartFailed("CONTAINER_MISSING", f"Image '{launch.image}' not found.")
    if not launch.command:
        raise StartFailed(
            "CONTAINER_MISSING",
            f"Image '{launch.image}' has no entry point of its own: the embedded cloud starts containers[0].command.",
        )
