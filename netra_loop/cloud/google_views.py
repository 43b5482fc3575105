"""What we read of Cloud Run's resources: who serves, what was asked for, what is ready, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from google.cloud import run_v2

from netra_loop.cloud.base import Standing, Target
from netra_loop.core.records import Revision

LATEST = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST
State = run_v2.Condition.State
_UNDER_WAY = {State.CONDITION_PENDING, State.CONDITION_RECONCILING}
_REASONS = ("revision_reason", "reason", "execution_reason")


def short(name: str) -> str:
    """The last part of a full name."""
    return name.rpartition("/")[2]


def shares(service: run_v2.Service) -> Counter[str]:
    """What percentage of the traffic each revision (short name) gets now; "" where nothing is ready yet."""
    found: Counter[str] = Counter()
    for status in service.traffic_statuses:
        if status.percent:
            found[reached(service, status)] += status.percent
    return found


def serving_name(service: run_v2.Service) -> str | None:
    """The short name of the revision that gets the most traffic; None where none does."""
    most = [name for name, _ in shares(service).most_common(1)]
    return (most[0] or None) if most else None


def serves_alone(service: run_v2.Service, name: str) -> bool:
    """Whether all traffic goes to revision `name`."""
    return set(shares(service)) == {name}


def reached(service: run_v2.Service, status: run_v2.TrafficTargetStatus | run_v2.TrafficTarget) -> str:
    """The short name of the revision behind one share of the traffic; "" where nothing is ready."""
    if status.revision:
        return short(status.revision)
    return short(service.latest_ready_revision)


def tagged(service: run_v2.Service, tag: str) -> run_v2.TrafficTargetStatus | None:
    """The share with this tag, once it can be reached."""
    return next((one for one in service.traffic_statuses if one.tag == tag and one.uri), None)


def revision_of(
    service: run_v2.Service, name: str, ready_at: datetime | None, status: run_v2.TrafficTargetStatus | None = None
) -> Revision:
    """How the service's revision `name` is reached: by the tag of `status`, where one is given."""
    url = (status.uri if status is not None else service.uri).rstrip("/")
    return Revision(
        service=short(service.name),
        name=name,
        url=url,
        ws_url=url.replace("http", "ws", 1),
        ready_at=ready_at,
        tag=status.tag if status is not None else None,
    )


def standing_of(service: run_v2.Service) -> Standing:
    """See `Standing`."""
    urls = {status.tag: status.uri.rstrip("/") for status in service.traffic_statuses if status.tag}
    return Standing(
        service=short(service.name),
        url=service.uri.rstrip("/"),
        change=service.etag,
        targets=tuple(
            Target(short(one.revision) or None, one.percent, one.tag or None, urls.get(one.tag))
            for one in targets_of(service)
        ),
        serving=serving_name(service),
        latest_created=short(service.latest_created_revision) or None,
        latest_ready=short(service.latest_ready_revision) or None,
    )


def targets_of(service: run_v2.Service) -> list[run_v2.TrafficTarget]:
    """What was asked for; nothing means everything to the latest ready revision."""
    return list(service.traffic) or [run_v2.TrafficTarget(type_=LATEST, percent=100)]


def made_at(revision: run_v2.Revision) -> datetime:
    """When it was made."""
    instant: datetime = run_v2.Revision.pb(revision).create_time.ToDatetime(tzinfo=UTC)
    return instant


def ready_at(revision: run_v2.Revision) -> datetime | None:
    """Since when it is ready; None where it is not, or not yet."""
    for condition in run_v2.Revision.pb(revision).conditions:
        if condition.type_ == "Ready" and condition.state == State.CONDITION_SUCCEEDED:
            since: datetime = condition.last_transition_time.ToDatetime(tzinfo=UTC)
            return since
    return None


def failure(revision: run_v2.Revision) -> tuple[str, str] | None:
    """Reason and message of a revision that will not get ready; None where it is, or may still get ready."""
    for condition in revision.conditions:
        if condition.type_ == "Ready" and condition.state == State.CONDITION_FAILED:
            return reason_of(condition), condition.message or _first_message(revision.conditions)
    return None


def reason_of(condition: run_v2.Condition) -> str:
    """The reason's name, whichever kind it is of."""
    return next((getattr(condition, kind).name for kind in _REASONS if kind in condition), "UNKNOWN")


def going_on(service: run_v2.Service | None, revision: run_v2.Revision | None) -> str:
    """What is still being worked at, for a person; "" where nothing is known of it."""
    said = []
    for condition in (*(revision.conditions if revision else ()), *(service.conditions if service else ())):
        if condition.type_ == "Ready" or condition.state not in _UNDER_WAY:
            continue
        said.append(f"{condition.type_} ({condition.message})" if condition.message else condition.type_)
    return f"waiting for {', '.join(said)}" if said else ""


def _first_message(conditions: Iterable[run_v2.Condition]) -> str:
    return next((one.message for one in conditions if one.message), "")
