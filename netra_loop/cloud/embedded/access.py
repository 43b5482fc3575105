"""Who may what: the caller's permissions, and who is let in to a service.

The caller of the API may do everything but what the knob `deny` names. A service lets everybody in, unless the knob
`protected` names it: then a request needs an identity token for one of the service's URLs, made by the embedded cloud's
own metadata server.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Iterable

import jwt
from google.cloud import run_v2
from google.iam.v1 import policy_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.embedded.calls import denial
from netra_loop.cloud.embedded.knobs import KnobFile
from netra_loop.cloud.embedded.provision import OWN_IMAGES
from netra_loop.cloud.embedded.refusals import Refused
from netra_loop.values import dataclass

ACCOUNT = "netra-loop@embedded.iam.gserviceaccount.com"
TOKEN_S = 3600
_ISSUER = "https://accounts.google.com"
_ALGORITHM = "HS256"  # Google signs with RS256; nobody but this server reads what it signed
_READ_IMAGE = "artifactregistry.repositories.downloadArtifacts"
_ACT_AS = "iam.serviceaccounts.actAs"
_PAGE = (
    '<html><head>\n<meta http-equiv="content-type" content="text/html;charset=utf-8">\n<title>{title}</title>\n'
    "</head>\n<body text=#000000 bgcolor=#ffffff>\n<h1>Error: {heading}</h1>\n<h2>{text}</h2>\n<h2></h2>\n"
    "</body></html>\n"
)
_NOT_AUTHENTICATED = (
    "The request was not authenticated. Either allow unauthenticated invocations or set the proper Authorization "
    "header. Read more at https://cloud.google.com/run/docs/securing/authenticating"
)
_NOT_AUTHORIZED = (
    "The request was not authorized to invoke this service. Read more at "
    "https://cloud.google.com/run/docs/securing/authenticating"
)


@dataclass(frozen=True)
class Turned:
    """How a request is turned away at the front: `page` is for the client, `note` for the request log."""

    status: int
    page: str
    note: str
    challenge: str


class Access:
    """One for each server; what it signs is good for as long as the server lives."""

    def __init__(self, knobs: KnobFile) -> None:
        self._knobs = knobs
        self._key = secrets.token_bytes(32)

    def held(self, permissions: Iterable[str]) -> list[str]:
        """Those of them that the caller has."""
        denied = self._knobs.now().deny
        return [permission for permission in permissions if permission not in denied]

    def check_deployer(self, service: run_v2.Service) -> None:
        """Raises Refused where the caller may not read the image, or not let a service run as its account."""
        image = service.template.containers[0].image
        if _READ_IMAGE in self._knobs.now().deny and not image.startswith(OWN_IMAGES):
            raise Refused("PERMISSION_DENIED", denial(_READ_IMAGE, image))
        if _ACT_AS in self._knobs.now().deny:
            account = service.template.service_account or "the default compute service account"
            raise Refused(
                "PERMISSION_DENIED",
                f"Permission '{_ACT_AS}' denied on service account {account} (or it may not exist).",
            )

    def policy(self, service: str) -> policy_pb2.Policy:
        """Who is let in to the service (short name)."""
        member = f"serviceAccount:{ACCOUNT}" if service in self._knobs.now().protected else "allUsers"
        return policy_pb2.Policy(
            version=1, bindings=[policy_pb2.Binding(role="roles/run.invoker", members=[member])], etag=b"ACAB"
        )

    def mint(self, audience: str) -> str:
        """An identity token of the one account there is."""
        now = int(time.time())
        claims = {
            "iss": _ISSUER,
            "aud": audience,
            "sub": "100000000000000000000",
            "azp": "100000000000000000000",
            "email": ACCOUNT,
            "email_verified": True,
            "iat": now,
            "exp": now + TOKEN_S,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)

    def turned(self, service: str, audiences: Collection[str], authorization: str | None) -> Turned | None:
        """Why a request to the service (short name) is turned away; None where it is let in."""
        if service not in self._knobs.last_good().protected:
            return None
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            text = "Your client does not have permission to get URL from this server."
            page = _PAGE.format(title="403 Forbidden", heading="Forbidden", text=text)
            return Turned(403, page, _NOT_AUTHENTICATED, "")
        try:
            jwt.decode(
                token, self._key, algorithms=[_ALGORITHM], audience=[*audiences, *(f"{url}/" for url in audiences)]
            )
        except jwt.InvalidTokenError as error:
            text = "Your client does not have permission to the requested URL."
            page = _PAGE.format(title="401 Unauthorized", heading="Unauthorized", text=text)
            challenge = 'Bearer error="invalid_token" error_description="The access token could not be verified"'
            return Turned(401, page, f"{_NOT_AUTHORIZED} ({error})", challenge)
        return None
