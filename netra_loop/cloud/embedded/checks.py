"""What the real Admin API refuses is refused here, before anything changes: names, labels, probes, traffic, …."""

from __future__ import annotations

import re
from collections.abc import Mapping

from google.cloud import run_v2

from netra_loop.cloud.embedded.refusals import Refused

_PARENT = re.compile(r"projects/([^/]+)/locations/([^/]+)")
_SERVICE = re.compile(r"(projects/[^/]+/locations/[^/]+)/services/([^/]+)")
_REVISION = re.compile(r"(projects/[^/]+/locations/[^/]+/services/[^/]+)/revisions/([^/]+)")
_SERVICE_ID = re.compile(r"[a-z](?:[a-z0-9-]{0,47}[a-z0-9])?")
_TAG = re.compile(r"[a-z](?:[a-z0-9-]*[a-z0-9])?")
_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
_OWNED_PREFIXES = ("run.googleapis.com", "cloud.googleapis.com", "serving.knative.dev", "autoscaling.knative.dev")
_OWNED_NAMES = {"PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION"}
_LONGEST_PROBE_S = 240
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
        _refuse(f"service id {short!r}: expected fewer than 50 of a-z, 0-9 and '-', a letter first, no '-' last")
    _check_labels("service", service.labels, service.annotations)
    _check_labels("template", service.template.labels, service.template.annotations)
    _check_template(short, service.template)
    _check_traffic(short, list(service.traffic))


def request_timeout_s(template: run_v2.RevisionTemplate | run_v2.Revision) -> float:
    """How long one request may take, the platform's default where nothing is said."""
    message = type(template).pb(template)
    seconds: float = message.timeout.ToTimedelta().total_seconds() if message.HasField("timeout") else 300.0
    return seconds


def _check_template(service: str, template: run_v2.RevisionTemplate) -> None:
    if len(template.containers) != 1:
        _refuse(f"template.containers has {len(template.containers)} members, the embedded cloud runs exactly 1")
    container = template.containers[0]
    if not container.image:
        _refuse("template.containers[0].image is empty")
    if not container.command:
        _refuse("template.containers[0].command is empty: the embedded cloud starts that command as a process")
    chosen = template.revision
    if chosen and not (chosen.startswith(f"{service}-") and len(chosen) <= 63 and _TAG.fullmatch(chosen)):
        _refuse(f"template.revision {chosen!r}: expected {service}-SUFFIX of at most 63 of a-z, 0-9 and '-'")
    timeout_s = request_timeout_s(template)
    if not 0 < timeout_s <= 3600:
        _refuse(f"template.timeout is {timeout_s:g} s, expected more than 0 and at most 3600 s")
    _check_env(container)
    _check_probe(container.startup_probe)


def _check_env(container: run_v2.Container) -> None:
    seen = set()
    for variable in container.env:
        name = variable.name
        if name in _OWNED_NAMES or name.startswith(("CLOUD_RUN_", "X_GOOGLE_")):
            _refuse(f"template.containers[0].env: the name {name!r} is reserved: it is set by the platform")
        if not name or "=" in name or "\0" in name + variable.value or max(len(name), len(variable.value)) > 32768:
            _refuse(f"template.containers[0].env: {name[:80]!r} is no name, or its value is longer than 32768")
        if name in seen:
            _refuse(f"template.containers[0].env: {name!r} is given twice")
        seen.add(name)


def _check_probe(probe: run_v2.Probe) -> None:
    period_s = probe.period_seconds or 10
    if probe.timeout_seconds > period_s:
        _refuse(f"startup_probe.timeout_seconds is {probe.timeout_seconds}, expected at most its period of {period_s}")
    if not 0 <= probe.initial_delay_seconds <= _LONGEST_PROBE_S or not 0 < period_s <= _LONGEST_PROBE_S:
        _refuse(f"startup_probe: delay and period must lie between 0 and {_LONGEST_PROBE_S} s")
    whole_s = period_s * (probe.failure_threshold or 3)
    if whole_s > _LONGEST_PROBE_S:
        _refuse(f"startup_probe: threshold times period is {whole_s} s, expected at most {_LONGEST_PROBE_S} s")


def _check_labels(where: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> None:
    if len(labels) > 64:
        _refuse(f"{where}.labels has {len(labels)} members, expected at most 64")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
            _refuse(f"{where}.labels: {key!r}: {value!r}: expected at most 63 of a-z, 0-9, '_' and '-'")
    for key in (*labels, *annotations):
        if key.startswith(_OWNED_PREFIXES):
            _refuse(f"{where}: {key!r} has a prefix that belongs to the platform")


def _check_traffic(service: str, targets: list[run_v2.TrafficTarget]) -> None:
    if targets and sum(target.percent for target in targets) != 100:
        _refuse(f"traffic: the percentages add up to {sum(target.percent for target in targets)}, expected 100")
    tags = [target.tag for target in targets if target.tag]
    if len(set(tags)) != len(tags):
        _refuse("traffic: a tag is used twice")
    by_revision = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
    for target in targets:
        if target.percent < 0 or (target.type_ == by_revision) != bool(target.revision):
            _refuse("traffic: expected a percentage of 0 to 100, and a revision exactly where the type is REVISION")
        if target.tag and not (_TAG.fullmatch(target.tag) and len(target.tag + service) <= _LONGEST_TAG_AND_SERVICE):
            _refuse(f"traffic: tag {target.tag!r}: expected a-z, 0-9 and '-', with the service's name at most 46")


def _matched(pattern: re.Pattern[str], name: str, expected: str) -> re.Match[str]:
    match = pattern.fullmatch(name)
    if match is None:
        raise Refused("INVALID_ARGUMENT", f"malformed name {name!r}, expected {expected}")
    return match


def _refuse(message: str) -> None:
    raise Refused("INVALID_ARGUMENT", message)
