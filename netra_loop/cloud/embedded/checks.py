"""What the real Admin API refuses is refused before anything changes; here names, labels, traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.cloud import run_v2

from netra_loop.cloud.embedded.container_checks import check_scaling, check_template, refuse
from netra_loop.cloud.embedded.refusals import Refused

_PARENT = re.compile(r"projects/([^/]+)/locations/([^/]+)")
_SERVICE = re.compile(r"(projects/[^/]+/locations/[^/]+)/services/([^/]+)")
_REVISION = re.compile(r"(projects/[^/]+/locations/[^/]+/services/[^/]+)/revisions/([^/]+)")
_SERVICE_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?")
_TAG = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_OWNED_PREFIXES = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
_BY_REVISION = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
_LONGEST_DESCRIPTION = 512
_LONGEST_TAG_AND_SERVICE = 46


def parent_of(name: str) -> str:
    """`name`, once it is `projects/P/locations/L`."""
    return _matched(_PARENT, name, "projects/PROJECT/locations/LOCATION")[0]


def service_id(name: str) -> str:
    """The short name in `projects/P/locations/L/services/S`."""
    return _matched(_SERVICE, name, "projects/PROJECT/locations/LOCATION/services/SERVICE")[2]


def revision_id(name: str) -> str:
    """The short name in `…/services/S/revisions/R`."""
    return _matched(_REVISION, name, "projects/PROJECT/locations/LOCATION/services/SERVICE/revisions/REVISION")[2]


def check_service(service: run_v2.Service) -> None:
    """Raises Refused where the real API would not take it, or the embedded cloud could not run it."""
    short = service_id(service.name)
    if not _SERVICE_ID.fullmatch(short):
        refuse(f"service id {short!r}: expected fewer than 50 of a-z, 0-9 and '-', a letter first, no '-' last")
    _check_labels("service", service.labels, service.annotations)
    _check_labels("template", service.template.labels, service.template.annotations)
    if len(service.description) > _LONGEST_DESCRIPTION:
        refuse(f"description has {len(service.description)} characters, expected at most {_LONGEST_DESCRIPTION}")
    _check_revision_name(short, service.template.revision)
    check_template(service.template)
    check_scaling("scaling", service.scaling.min_instance_count, service.scaling.max_instance_count)
    _check_traffic(short, list(service.traffic))


def _check_revision_name(service: str, chosen: str) -> None:
    if chosen and not (chosen.startswith(f"{service}-") and len(chosen) <= 63 and _TAG.fullmatch(chosen)):
        refuse(f"template.revision {chosen!r}: expected {service}-SUFFIX of at most 63 of a-z, 0-9 and '-'")


def _check_labels(where: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
    if len(labels) > 64:
        refuse(f"{where}.labels has {len(labels)} members, expected at most 64")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            refuse(f"{where}.labels: {key!r}: {value!r}: expected at most 63 of a-z, 0-9, '_' and '-'")
    for key in (*labels, *annotations):
        if key.startswith(_OWNED_PREFIXES):
            refuse(f"{where}: {key!r} has a prefix that belongs to the platform")


def _check_traffic(service: str, targets: list[run_v2.TrafficTarget]) -> None:
    kinds = run_v2.TrafficTargetAllocationType
    for target in targets:
        if not 0 <= target.percent <= 100:
            refuse(f"traffic: {target.percent} percent, expected 0 to 100")
        if target.type_ not in {kinds.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST, _BY_REVISION}:
            refuse("traffic: a target has no type, expected LATEST or REVISION")
        if (target.type_ == _BY_REVISION) != bool(target.revision):
            refuse("traffic: expected a revision exactly where the type is REVISION")
        if target.tag and not (_TAG.fullmatch(target.tag) and len(target.tag + service) <= _LONGEST_TAG_AND_SERVICE):
            refuse(f"traffic: tag {target.tag!r}: expected a-z, 0-9 and '-', with the service's name at most 46")
    if targets and sum(target.percent for target in targets) != 100:
        refuse(f"traffic: the percentages add up to {sum(target.percent for target in targets)}, expected 100")
    tags = [target.tag for target in targets if target.tag]
    if len(set(tags)) != len(tags):
        refuse("traffic: a tag is used twice")


def _matched(pattern: re.Pattern[str], name: str, expected: str) -> re.Match[str]:
    match = pattern.fullmatch(name)
    if match is None:
        raise Refused("INVALID_ARGUMENT", f"malformed name {name!r}, expected {expected}")
    return match
