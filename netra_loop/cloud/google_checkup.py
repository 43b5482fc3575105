"""Calls that change nothing and show whether those of a session would be let through: each made once, and soon over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection
from datetime import datetime
from typing import Any, TypeVar

import google.auth
from google.auth.credentials import Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]
from google.longrunning.operations_pb2 import GetOperationRequest  # type: ignore[import-untyped]

from netra_loop.cloud.auth_identity import in_thread
from netra_loop.cloud.google_link import LOGIN, Link
from netra_loop.cloud.google_refusals import API_ERRORS, Caller, granting, refused
from netra_loop.errors import CloudCallFailed
from netra_loop.values import dataclass

LIMIT_S = 8.0
_NOBODY = "00000000-0000-0000-0000-000000000000"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
_KINDS = (
    ("google.auth.compute_engine", "the machine's own account"),
    ("google.auth.impersonated_credentials", "an impersonated service account"),
    ("google.oauth2.service_account", "a service account's key"),
    ("google.oauth2.credentials", "a person's login"),
    ("google.auth.external_account", "a federated identity"),
    ("google.auth.identity_pool", "a federated identity"),
)

T = TypeVar("T")


@dataclass(frozen=True)
class Login:
    """Application Default Credentials, seen to give an access token: which `kind`, whose, and until when that is good.
    `token` is a secret.
    """

    kind: str
    principal: str | None
    expires_at: datetime | None
    token: str


async def login() -> Login:
    """Finds the credentials and has them make a token. Raises CloudCallFailed where there are none, or they are
    refused.
    """
    try:
        async with asyncio.timeout(LIMIT_S):
            return await in_thread(_login)
    except TimeoutError:
        text = f"no answer within {LIMIT_S:g} s"
        raise CloudCallFailed("finding credentials", "DEADLINE_EXCEEDED", text, hint=LOGIN) from None
    except GoogleAuthError as error:
        told = str(error).splitlines()[0]
        raise CloudCallFailed("finding credentials", "UNAUTHENTICATED", told, hint=LOGIN) from error


def _login() -> Login:
    found: Credentials
    found, _ = google.auth.default(scopes=_SCOPES)
    found.refresh(Request())  # type: ignore[no-untyped-call]
    module = type(found).__module__
    kind = next((kind for name, kind in _KINDS if module.startswith(name)), module)
    names = (getattr(found, field, None) for field in ("service_account_email", "account"))
    principal = next((str(name) for name in names if name and name != "default"), None)
    return Login(kind, principal, found.expiry, str(found.token))


class Checkup:
    """One environment, asked as a session would ask it. Each call takes `LIMIT_S` at most; what is refused is raised as
    CloudCallFailed, with the permission in it where the answer names one.
    """

    def __init__(self, project: str, region: str, endpoint: str | None, token: str | None) -> None:
        self._project = project
        self._parent = f"projects/{project}/locations/{region}"
        self._link = Link(endpoint, token)

    async def ready(self) -> None:
        """Finds the credentials; to be called before anything else."""
        await self._link.ready()

    async def close(self) -> None:
        """Lets go of the channels."""
        await self._link.close()

    async def service(self, service: str) -> run_v2.Service | None:
        """The service; None where there is none."""
        name = self._name(service)
        return await self._or_none(
            f"reading service {service!r}", self._link.services.get_service(name=name, retry=None, timeout=LIMIT_S)
        )

    async def held(self, service: str, permissions: Collection[str]) -> set[str]:
        """Those of `permissions` that we have on a service that is there: of one that is not, none is told as held."""
        request = iam_policy_pb2.TestIamPermissionsRequest(resource=self._name(service), permissions=list(permissions))
        call = self._link.services.test_iam_permissions(request, retry=None, timeout=LIMIT_S)
        answer: Any = await self._once("asking for permissions", call)
        return set(answer.permissions)

    def granting(self, role: str) -> str:
        """The command that gives us this role in the project."""
        return granting(role, Caller(self._project, self._link.principal))

    async def rehearse(self, service: str, image: str | None) -> None:
        """A deploy that is looked at and not carried out (`validate_only`). `image` None is for an embedded cloud,
        which starts a command.
        """
        container = run_v2.Container(image=image or f"embedded://{service}", command=() if image else ("true",))
        asked = run_v2.Service(name=self._name(service), template=run_v2.RevisionTemplate(containers=[container]))
        request = run_v2.UpdateServiceRequest(service=asked, allow_missing=True, validate_only=True)
        await self._once(
            "rehearsing a deploy", self._link.services.update_service(request, retry=None, timeout=LIMIT_S)
        )

    async def revisions(self, service: str) -> None:
        """Lists them."""
        request = run_v2.ListRevisionsRequest(parent=self._name(service), page_size=1)
        call = self._link.revisions.list_revisions(request, retry=None, timeout=LIMIT_S)
        await self._or_none("listing revisions", call)

    async def operation(self) -> None:
        """Asks for one that is not there: whoever may not ask is told so first."""
        request = GetOperationRequest(name=f"{self._parent}/operations/{_NOBODY}")
        await self._or_none("reading an operation", self._link.services.get_operation(request, timeout=LIMIT_S))

    async def entries(self) -> None:
        """Reads a page of the log that nothing is in yet."""
        request = {
            "resource_names": [f"projects/{self._project}"],
            "filter": 'resource.type="cloud_run_revision" AND timestamp>="2999-01-01T00:00:00Z"',
            "page_size": 1,
        }
        call = self._link.logging.list_log_entries(request, retry=None, timeout=LIMIT_S)
        await self._once("reading log entries", call)

    def _name(self, service: str) -> str:
        return f"{self._parent}/services/{service}"

    async def _or_none(self, what: str, call: Awaitable[T]) -> T | None:
        try:
            return await self._once(what, call)
        except CloudCallFailed as error:
            if error.code == "NOT_FOUND":
                return None
            raise

    async def _once(self, what: str, call: Awaitable[T]) -> T:
        try:
            return await call
        except API_ERRORS as error:
            raise refused(what, error, Caller(self._project, self._link.principal)) from error
