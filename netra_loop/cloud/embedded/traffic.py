"""Who gets the requests: traffic targets held against what is ready, and the choice for one request."""

from __future__ import annotations

import random
from collections.abc import Mapping

from google.cloud import run_v2

from netra_loop.cloud.embedded.conditions import is_ready
from netra_loop.cloud.embedded.instance import StartFailed

_LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST


def targets_of(service: run_v2.Service) -> list[run_v2.TrafficTarget]:
    """What was asked for; nothing means everything to the latest ready revision."""
    return list(service.traffic) or [run_v2.TrafficTarget(type_=_LATEST, percent=100)]


def tags_of(service: run_v2.Service) -> set[str]:
    """The tags that were asked for."""
    return {target.tag for target in service.traffic if target.tag}


def statuses(service: run_v2.Service, urls: dict[str, str]) -> list[run_v2.TrafficTargetStatus]:
    """What is carried out; `urls` are those of the tags."""
    return [
        run_v2.TrafficTargetStatus(
            type_=target.type_,
            revision=target.revision,
            percent=target.percent,
            tag=target.tag,
            uri=urls[target.tag] if target.tag else "",
        )
        for target in targets_of(service)
    ]


def unroutable(service: run_v2.Service, revisions: Mapping[str, run_v2.Revision]) -> StartFailed | None:
    """Why the traffic that was asked for cannot be carried out; None where it can. `revisions` are all there are."""
    for target in service.traffic:
        if not target.revision:
            continue
        revision = revisions.get(f"{service.name}/revisions/{target.revision}")
        if revision is None:
            return StartFailed("REVISION_FAILED", f"Revision '{target.revision}' does not exist or is deleted.")
        if not is_ready(revision):
            text = f"Revision '{target.revision}' is not ready and cannot serve traffic."
            return StartFailed("REVISION_FAILED", text)
    return None


def short(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition("/")[2]


def wanted(service: run_v2.Service) -> set[str]:
    """The short names of the revisions that requests can reach now."""
    return {_target(service, status) for status in service.traffic_statuses if status.percent or status.tag} - {""}


def choose(service: run_v2.Service, tag: str) -> str | None:
    """The short name of the revision for one request; None where nothing serves."""
    if tag:
        found = [_target(service, status) for status in service.traffic_statuses if status.tag == tag]
        return found[0] or None if found else None
    shares = [(_target(service, status), status.percent) for status in service.traffic_statuses if status.percent]
    shares = [(name, percent) for name, percent in shares if name]
    if not shares:
        return None
    names, percents = zip(*shares, strict=True)
    name: str = random.choices(names, percents)[0]  # noqa: S311  # a share of traffic is no secret
    return name


def _target(service: run_v2.Service, status: run_v2.TrafficTargetStatus) -> str:
    return short(service.latest_ready_revision) if status.type_ == _LATEST else status.revision
