"""Whether the images that are about to be deployed are there, and may be read by us."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx

from netra_loop.core import template
from netra_loop.doctor.base import Line, Loop, fail, ok, warn
from netra_loop.doctor.network import LIMIT_S, filled

_KINDS = (
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json"
)
_IMAGE = re.compile(
    r"(?P<host>[\w.-]+\.[\w.-]+(?::\d+)?)/(?P<path>[^@:]+)(?:@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))?"
)
_OURS = re.compile(r"(?:[\w-]+-docker\.pkg\.dev|(?:[\w-]+\.)?gcr\.io)")


async def image_lines(loop: Loop, access: str, *, scheme: str = "https") -> AsyncIterator[Line]:
    """One for each service with an image; `access` is the access token to read it with."""
    for name, service in loop.spec.services.items():
        if service.image is None:
            continue
        check = f"image of {name}"
        image = filled(loop, service.image)
        if service.build is not None:
            yield ok(check, "is built and pushed before the deploy")
        elif image is None:
            names = ", ".join(template.parse(service.image).names)
            yield ok(check, f"is not known before the session: {names}")
        else:
            yield await look(check, image, access, scheme=scheme)


async def look(check: str, image: str, access: str, *, scheme: str = "https") -> Line:
    """Asks the registry for its manifest."""
    parts = _IMAGE.fullmatch(image)
    if parts is None:
        return warn(
            check, f"{image} names no registry", "write it in full: REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG"
        )
    url = f"{scheme}://{parts['host']}/v2/{parts['path']}/manifests/{parts['digest'] or parts['tag'] or 'latest'}"
    # The token is Google's, and goes to Google's registries alone.
    ours = _OURS.fullmatch(parts["host"]) is not None or scheme == "http"
    headers = {"accept": _KINDS} | ({"authorization": f"Bearer {access}"} if ours else {})
    try:
        async with asyncio.timeout(LIMIT_S), httpx.AsyncClient(timeout=None) as client:  # noqa: S113
            status = (await client.head(url, headers=headers)).status_code
    except (httpx.HTTPError, OSError) as error:
        told = str(error) or type(error).__name__
        return warn(check, f"the registry {parts['host']} cannot be reached: {told}", "check the network")
    if status == 200:
        return ok(check, f"{image} is there")
    if status == 404:
        return fail(check, f"{image} is not there", "push it, or give the service a `build`")
    if status in {401, 403}:
        if not ours:
            return warn(check, f"{image}: {parts['host']} answers {status} to whoever has no account", "")
        mend = "grant roles/artifactregistry.reader on its repository, to the deployer as well"
        return fail(check, f"{image} may not be read by us: {parts['host']} answers {status}", mend)
    return warn(check, f"{image}: {parts['host']} answers {status}")
