"""`google.cloud.run.v2.Services` and `.Revisions`: takes changes in; `rollout` carries them out."""

from __future__ import annotations

from typing import Any

import grpc
from google.cloud import run_v2
from google.iam.v1 import iam_policy_pb2, policy_pb2  # type: ignore[import-untyped]
from google.longrunning import operations_pb2  # type: ignore[import-untyped]

from netra_loop.cloud.embedded import conditions, traffic
from netra_loop.cloud.embedded.access import Access
from netra_loop.cloud.embedded.changes import asked_for, check_etag, merged, new_revision, page_of
from netra_loop.cloud.embedded.checks import check_service, parent_of, revision_id, service_id
from netra_loop.cloud.embedded.operations import Operations
from netra_loop.cloud.embedded.refusals import Refused, answering
from netra_loop.cloud.embedded.rollout import Rollouts
from netra_loop.cloud.embedded.state import Resources


class RunApi:
    """The handlers; one for each server."""

    def __init__(self, resources: Resources, operations: Operations, rollouts: Rollouts, access: Access) -> None:
        self._access = access
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
            "GetIamPolicy": answering(
                self._get_policy, iam_policy_pb2.GetIamPolicyRequest, policy_pb2.Policy.SerializeToString
            ),
            "TestIamPermissions": answering(
                self._test_permissions,
                iam_policy_pb2.TestIamPermissionsRequest,
                iam_policy_pb2.TestIamPermissionsResponse.SerializeToString,
            ),
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
        page, token = page_of(found, request.page_size, request.page_token)
        return run_v2.ListServicesResponse(services=page, next_page_token=token)

    async def _create_service(self, request: run_v2.CreateServiceRequest) -> Any:
        service = request.service
        service.name = f"{parent_of(request.parent)}/services/{request.service_id}"
        check_service(service)
        self._access.check_deployer(service)
        if service.name in self._resources.services:
            raise Refused("ALREADY_EXISTS", f"Resource '{request.service_id}' already exists.")
        return await self._take_in(service, None, validate_only=request.validate_only)

    async def _update_service(self, request: run_v2.UpdateServiceRequest) -> Any:
        service_id(request.service.name)
        present = self._resources.services.get(request.service.name)
        if present is None and not request.allow_missing:
            raise _missing(request.service.name)
        service = asked_for(request, present)
        check_service(service)
        self._access.check_deployer(service)
        if present is not None:
            check_etag(service.etag, present)
        return await self._take_in(service, present, validate_only=request.validate_only)

    async def _delete_service(self, request: run_v2.DeleteServiceRequest) -> Any:
        service = self._service(request.name)
        check_etag(request.etag, service)
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
        service = merged(asked, present)
        revision = new_revision(service, present, self._resources.revisions)
        parent = service.name.partition("/services/")[0]
        if validate_only:
            operation = self._operations.begin(parent, service)
            self._operations.succeed(operation, service)
            return operation
        conditions.service_pending(service, starts=revision is not None)
        if present is None:
            await self._rollouts.open_service(service)
            if service.name in self._resources.services:  # made by another call meanwhile
                raise Refused("ALREADY_EXISTS", f"Resource '{traffic.short(service.name)}' already exists.")
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

    # ---------------------------------------------------------------------------------- who may what

    async def _get_policy(self, request: iam_policy_pb2.GetIamPolicyRequest) -> policy_pb2.Policy:
        service = self._service(request.resource)
        return self._access.policy(traffic.short(service.name))

    async def _test_permissions(
        self, request: iam_policy_pb2.TestIamPermissionsRequest
    ) -> iam_policy_pb2.TestIamPermissionsResponse:
        service_id(request.resource)
        if request.resource not in self._resources.services:  # as Google: no error, and nothing that is held
            return iam_policy_pb2.TestIamPermissionsResponse()
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=self._access.held(request.permissions))

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
        page, token = page_of(found, request.page_size, request.page_token)
        return run_v2.ListRevisionsResponse(revisions=page, next_page_token=token)

    async def _delete_revision(self, request: run_v2.DeleteRevisionRequest) -> Any:
        revision = self._revision(request.name)
        check_etag(request.etag, revision)
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


def _missing(name: str) -> Refused:
    return Refused("NOT_FOUND", f"Resource '{traffic.short(name)}' of kind '{name.split('/')[-2]}' does not exist")
