"""`google.cloud.run.v2.Services` and `.Revisions`: takes changes in; `rollout` carries them out."""

from __future__ import annotations

import secrets
import string
import uuid
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud import run_v2
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.embedded import conditions, traffic
from netra_loop.cloud.embedded.checks import check_service, parent_of, revision_id, service_id
from netra_loop.cloud.embedded.operations import Operations
from netra_loop.cloud.embedded.refusals import Refused, answering
from netra_loop.cloud.embedded.rollout import Rollouts
from netra_loop.cloud.embedded.state import Resources

_SPEC_FIELDS = (
    "description",
    "labels",
    "annotations",
    "client",
    "client_version",
    "ingress",
    "launch_stage",
    "template",
    "traffic",
    "scaling",
    "invoker_iam_disabled",
)
_REVISION_FIELDS = (
    "labels",
    "annotations",
    "scaling",
    "timeout",
    "service_account",
    "containers",
    "max_instance_request_concurrency",
    "session_affinity",
)
_DEFAULT_PAGE = 100


class RunApi:
    """The handlers; one for each server."""

    def __init__(self, resources: Resources, operations: Operations, rollouts: Rollouts) -> None:
        self._resources = resources
        self._operations = operations
        self._rollouts = rollouts

    def handlers(self) -> tuple[grpc.GenericRpcHandler[Any, Any], ...]:
        """What the server is given."""
        operation = operations_pb2.Operation.SerializeToString
        services = {
            "GetService": answering(self._get_service, run_v2.GetServiceRequest, run_v2.Service.serialize),
            "ListServices": answering(
                self._list_services, run_v2.ListServicesRequest, run_v2.ListServicesResponse.serialize
            ),
            "CreateService": answering(self._create_service, run_v2.CreateServiceRequest, operation),
            "UpdateService": answering(self._update_service, run_v2.UpdateServiceRequest, operation),
            "DeleteService": answering(self._delete_service, run_v2.DeleteServiceRequest, operation),
        }
        revisions = {
            "GetRevision": answering(self._get_revision, run_v2.GetRevisionRequest, run_v2.Revision.serialize),
            "ListRevisions": answering(
                self._list_revisions, run_v2.ListRevisionsRequest, run_v2.ListRevisionsResponse.serialize
            ),
            "DeleteRevision": answering(self._delete_revision, run_v2.DeleteRevisionRequest, operation),
        }
        return (
            grpc.method_handlers_generic_handler("google.cloud.run.v2.Services", services),
            grpc.method_handlers_generic_handler("google.cloud.run.v2.Revisions", revisions),
        )

    # ---------------------------------------------------------------------------------- services

    async def _get_service(self, request: run_v2.GetServiceRequest) -> run_v2.Service:
        return self._service(request.name)

    async def _list_services(self, request: run_v2.ListServicesRequest) -> run_v2.ListServicesResponse:
        prefix = f"{parent_of(request.parent)}/services/"
        found = [item for name, item in sorted(self._resources.services.items()) if name.startswith(prefix)]
        page, token = _page(found, request.page_size, request.page_token)
        return run_v2.ListServicesResponse(services=page, next_page_token=token)

    async def _create_service(self, request: run_v2.CreateServiceRequest) -> Any:
        service = request.service
        service.name = f"{parent_of(request.parent)}/services/{request.service_id}"
        check_service(service)
        if service.name in self._resources.services:
            raise Refused("ALREADY_EXISTS", f"Resource '{request.service_id}' already exists.")
        return await self._take_in(service, None, validate_only=request.validate_only)

    async def _update_service(self, request: run_v2.UpdateServiceRequest) -> Any:
        service = request.service
        check_service(service)
        present = self._resources.services.get(service.name)
        if present is None and not request.allow_missing:
            raise _missing(service.name)
        if present is not None:
            _check_etag(service.etag, present)
        return await self._take_in(service, present, validate_only=request.validate_only)

    async def _delete_service(self, request: run_v2.DeleteServiceRequest) -> Any:
        service = self._service(request.name)
        _check_etag(request.etag, service)
        operation = self._operations.begin(service.name.partition("/services/")[0], service)
        if not request.validate_only:
            for revision in self._resources.revisions_of(service.name):
                del self._resources.revisions[revision.name]
            del self._resources.services[service.name]
            self._rollouts.remove(service.name)
            self._resources.save()
        self._operations.succeed(operation, service)
        return operation

    async def _take_in(self, asked: run_v2.Service, present: run_v2.Service | None, *, validate_only: bool) -> Any:
        """The one way a spec gets in: checks it against what there is, stores it, begins its rollout."""
        service = _merged(asked, present)
        revision = self._new_revision(service, present)
        known = {traffic.short(item.name) for item in self._resources.revisions_of(service.name)}
        traffic.check_revisions(service, known | ({traffic.short(revision.name)} if revision else set()))
        parent = service.name.partition("/services/")[0]
        if validate_only:
            operation = self._operations.begin(parent, service)
            self._operations.succeed(operation, service)
            return operation
        conditions.service_pending(service)
        if present is None:
            await self._rollouts.open_service(service)
        self._resources.services[service.name] = service
        if revision is not None:
            conditions.revision_pending(revision)
            self._resources.revisions[revision.name] = revision
            service.latest_created_revision = revision.name
        self._resources.save()
        operation = self._operations.begin(parent, service)
        answer = operations_pb2.Operation.FromString(operation.SerializeToString())
        self._rollouts.begin(service.name, revision.name if revision else None, operation)
        return answer

    def _new_revision(self, service: run_v2.Service, present: run_v2.Service | None) -> run_v2.Revision | None:
        """The revision that `service` asks for beyond what there is; None where its template is unchanged."""
        template = service.template
        unchanged = present is not None and _same_template(template, present.template)
        if unchanged and present is not None and template.revision in {"", present.template.revision}:
            return None
        short = template.revision or _revision_name(service)
        name = f"{service.name}/revisions/{short}"
        if name in self._resources.revisions:
            raise Refused("ALREADY_EXISTS", f"Revision named '{short}' with different configuration already exists.")
        now = datetime.now(UTC)
        revision = run_v2.Revision(name=name, uid=str(uuid.uuid4()), generation=1, create_time=now, update_time=now)
        revision.service = service_id(service.name)
        revision.etag = _etag()
        for field in _REVISION_FIELDS:
            if field in template:
                setattr(revision, field, getattr(template, field))
        return revision

    # ---------------------------------------------------------------------------------- revisions

    async def _get_revision(self, request: run_v2.GetRevisionRequest) -> run_v2.Revision:
        return self._revision(request.name)

    async def _list_revisions(self, request: run_v2.ListRevisionsRequest) -> run_v2.ListRevisionsResponse:
        if request.parent.endswith("/services/-"):
            parent = parent_of(request.parent.removesuffix("/services/-"))
            found = [
                item for item in reversed(self._resources.revisions.values()) if item.name.startswith(parent + "/")
            ]
        else:
            service_id(request.parent)
            found = self._resources.revisions_of(request.parent)
        page, token = _page(found, request.page_size, request.page_token)
        return run_v2.ListRevisionsResponse(revisions=page, next_page_token=token)

    async def _delete_revision(self, request: run_v2.DeleteRevisionRequest) -> Any:
        revision = self._revision(request.name)
        _check_etag(request.etag, revision)
        service = self._service(revision.name.partition("/revisions/")[0])
        short = traffic.short(revision.name)
        if revision.name == service.latest_created_revision or short in traffic.wanted(service):
            raise Refused(
                "FAILED_PRECONDITION", f"Revision '{short}' is the latest one or can receive traffic, and is kept."
            )
        operation = self._operations.begin(service.name.partition("/services/")[0], revision)
        if not request.validate_only:
            del self._resources.revisions[revision.name]
            self._resources.save()
        self._operations.succeed(operation, revision)
        return operation

    def _service(self, name: str) -> run_v2.Service:
        service_id(name)
        service = self._resources.services.get(name)
        if service is None:
            raise _missing(name)
        return service

    def _revision(self, name: str) -> run_v2.Revision:
        revision_id(name)
        revision = self._resources.revisions.get(name)
        if revision is None:
            raise _missing(name)
        return revision


def _merged(asked: run_v2.Service, present: run_v2.Service | None) -> run_v2.Service:
    """What the service becomes: the asked spec upon the present status, with a new etag and generation."""
    now = datetime.now(UTC)
    service = run_v2.Service(name=asked.name, uid=str(uuid.uuid4()), create_time=now)
    if present is not None:
        run_v2.Service.pb(service).CopyFrom(run_v2.Service.pb(present))
        for field in _SPEC_FIELDS:
            run_v2.Service.pb(service).ClearField(field)
    for field in _SPEC_FIELDS:
        if field in asked:
            setattr(service, field, getattr(asked, field))
    run_v2.Service.pb(service).update_time.FromDatetime(now)
    service.generation = (present.generation if present is not None else 0) + 1
    service.etag = _etag()
    return service


def _same_template(one: run_v2.RevisionTemplate, other: run_v2.RevisionTemplate) -> bool:
    plain = []
    for template in (one, other):
        copy = run_v2.RevisionTemplate(template)
        copy.revision = ""
        plain.append(copy)
    return bool(plain[0] == plain[1])


def _revision_name(service: run_v2.Service) -> str:
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(3))
    return f"{service_id(service.name)}-{service.generation:05d}-{suffix}"


def _etag() -> str:
    return f'"{secrets.token_urlsafe(16)}"'


def _check_etag(given: str, present: run_v2.Service | run_v2.Revision) -> None:
    if given and given != present.etag:
        raise Refused(
            "ABORTED",
            f"Conflict for resource '{traffic.short(present.name)}': version {given} was specified but current version "
            f"is {present.etag}.",
        )


def _missing(name: str) -> Refused:
    return Refused("NOT_FOUND", f"Resource '{traffic.short(name)}' of kind '{name.split('/')[-2]}' does not exist")


def _page(found: list[Any], size: int, token: str) -> tuple[list[Any], str]:
    if size < 0 or (token and not token.isdigit()):
        raise Refused("INVALID_ARGUMENT", f"page_size is {size} and page_token {token!r}, expected what was given")
    start = int(token or 0)
    end = start + (size or _DEFAULT_PAGE)
    return found[start:end], str(end) if end < len(found) else ""
