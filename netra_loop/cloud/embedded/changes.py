"""What a service becomes: what was asked for upon what there is, and the revision that this makes, if it makes one."""

from __future__ import annotations

import secrets
import string
import uuid
from datetime import UTC, datetime
from typing import Any

from google.cloud import run_v2
from google.protobuf import field_mask_pb2

from netra_loop.cloud.embedded import traffic
from netra_loop.cloud.embedded.checks import service_id
from netra_loop.cloud.embedded.container_checks import refuse
from netra_loop.cloud.embedded.refusals import Refused

_SPEC_FIELDS = (
    "description",
    "labels",
    "annotations",
    "client",
    "client_version",
    "ingress",
    "launch_stage",
    "binary_authorization",
    "template",
    "traffic",
    "scaling",
    "invoker_iam_disabled",
    "default_uri_disabled",
    "custom_audiences",
)
_REVISION_FIELDS = (
    "labels",
    "annotations",
    "scaling",
    "vpc_access",
    "timeout",
    "service_account",
    "containers",
    "execution_environment",
    "encryption_key",
    "max_instance_request_concurrency",
    "session_affinity",
)


def asked_for(request: run_v2.UpdateServiceRequest, present: run_v2.Service | None) -> run_v2.Service:
    """The whole spec that an update asks for: with a mask, the present one with the named fields replaced.

    Raises Refused for a mask that names what cannot be changed.
    """
    mask = request.update_mask
    asked = request.service
    if present is None or not mask.paths or list(mask.paths) == ["*"]:
        return asked
    for path in mask.paths:
        if path.partition(".")[0] not in _SPEC_FIELDS:
            refuse(f"update_mask: {path!r}, expected fields of a service that can be changed, such as traffic")
    whole = run_v2.Service(present)
    plain = field_mask_pb2.FieldMask(paths=mask.paths)
    if not plain.IsValidForDescriptor(run_v2.Service.pb(whole).DESCRIPTOR):
        refuse(f"update_mask: {', '.join(mask.paths)!r} names a field that a service does not have")
    plain.MergeMessage(
        run_v2.Service.pb(asked), run_v2.Service.pb(whole), replace_message_field=True, replace_repeated_field=True
    )
    whole.etag = asked.etag
    return whole


def merged(asked: run_v2.Service, present: run_v2.Service | None) -> run_v2.Service:
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
    service.etag = new_etag()
    return service


def new_revision(
    service: run_v2.Service, present: run_v2.Service | None, revisions: dict[str, run_v2.Revision]
) -> run_v2.Revision | None:
    """The revision that `service` asks for beyond what there is; None where its template is unchanged.

    Raises Refused where its name is taken.
    """
    template = service.template
    unchanged = present is not None and _same_template(template, present.template)
    if unchanged and present is not None and template.revision in {"", present.template.revision}:
        return None
    short = template.revision or _revision_name(service)
    name = f"{service.name}/revisions/{short}"
    if name in revisions:
        raise Refused("ALREADY_EXISTS", f"Revision named '{short}' with different configuration already exists.")
    now = datetime.now(UTC)
    revision = run_v2.Revision(name=name, uid=str(uuid.uuid4()), generation=1, create_time=now, update_time=now)
    revision.service = service_id(service.name)
    revision.etag = new_etag()
    for field in _REVISION_FIELDS:
        if field in template:
            setattr(revision, field, getattr(template, field))
    return revision


def new_etag() -> str:
    """Quoted, as Google's are; never the same twice."""
    return f'"{secrets.token_urlsafe(16)}"'


def check_etag(given: str, present: run_v2.Service | run_v2.Revision) -> None:
    """Raises Refused where the caller read an earlier state; no etag at all is no question."""
    if given and given != present.etag:
        raise Refused(
            "ABORTED",
            f"Conflict for resource '{traffic.short(present.name)}': version {given} was specified but current version "
            f"is {present.etag}.",
        )


def page_of(found: list[Any], size: int, token: str) -> tuple[list[Any], str]:
    """One page of a list and the token of the next. Raises Refused for a size or token that cannot be."""
    if size < 0:
        refuse(f"page_size is {size}, expected 0 or more")
    if token and not (token.isascii() and token.isdigit()):
        refuse(f"page_token {token!r} was not made here")
    start = int(token or 0)
    end = start + min(size or _DEFAULT_PAGE, _LARGEST_PAGE)
    return found[start:end], str(end) if end < len(found) else ""


_DEFAULT_PAGE = 100
_LARGEST_PAGE = 1000


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
