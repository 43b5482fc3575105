"""Who is asked to get the traffic: lists of targets, made out of those that a service has."""

from __future__ import annotations

from collections.abc import Iterable

from google.cloud import run_v2

from netra_loop.cloud.google_views import LATEST, State, reached, targets_of

BY_NAME = run_v2.TrafficTargetAllocationType.TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION
Targets = list[run_v2.TrafficTarget]


def newest(present: run_v2.Service | None) -> Targets:
    """Everything to the latest ready revision; tags stay."""
    return [run_v2.TrafficTarget(type_=LATEST, percent=100), *(_tags(present) if present is not None else ())]


def all_to(present: run_v2.Service, revision: str) -> Targets:
    """Everything to `revision`, pinned; tags stay."""
    return [run_v2.TrafficTarget(type_=BY_NAME, revision=revision, percent=100), *_tags(present)]


def beside(present: run_v2.Service | None, revision: str, tag: str) -> Targets:
    """What is served now, pinned by name, and `revision` under `tag` without traffic.

    Where nothing is served yet there is nothing to pin: everything goes to the latest ready revision.
    """
    kept = pinned(present) if present is not None else newest(None)
    return [*without_tag(kept, tag), run_v2.TrafficTarget(type_=BY_NAME, revision=revision, percent=0, tag=tag)]


def pinned(present: run_v2.Service) -> Targets:
    """Today's targets, "the latest" replaced by the revision that this is now."""
    found: Targets = []
    for target in _in_force(present):
        name = reached(present, target)
        found.append(
            run_v2.TrafficTarget(type_=BY_NAME, revision=name, percent=target.percent, tag=target.tag)
            if name
            else target
        )
    return found


def with_tag(present: run_v2.Service, revision: str, tag: str) -> Targets:
    """Today's targets, and `revision` under `tag` without traffic of its own; unchanged where that is so already."""
    wanted = targets_of(present)
    if any(one.tag == tag and one.type_ != LATEST and one.revision == revision for one in wanted):
        return wanted
    return [
        *without_tag(wanted, tag),
        run_v2.TrafficTarget(type_=BY_NAME, revision=revision, percent=0, tag=tag),
    ]


def without_tag(targets: Iterable[run_v2.TrafficTarget], tag: str) -> Targets:
    """The same targets, `tag` taken off; one that was there for its tag alone goes."""
    found: Targets = []
    for target in targets:
        if target.tag != tag:
            found.append(target)
        elif target.percent:
            found.append(run_v2.TrafficTarget(type_=target.type_, revision=target.revision, percent=target.percent))
    return found


def same(one: Iterable[run_v2.TrafficTarget], other: Iterable[run_v2.TrafficTarget]) -> bool:
    """Whether they say the same, in whatever order."""
    return sorted(map(_key, one)) == sorted(map(_key, other))


def carried_out(service: run_v2.Service) -> bool:
    """Whether the traffic goes where it was asked to go."""
    return sorted(map(_key, targets_of(service))) == sorted(map(_key, service.traffic_statuses))


def asks_for(service: run_v2.Service, revision: str) -> bool:
    """Whether all traffic was asked to go to `revision`, by its name or as the latest that it is."""
    return all(one.type_ == LATEST or one.revision == revision for one in targets_of(service) if one.percent)


def _in_force(present: run_v2.Service) -> Targets:
    """What was asked for; after a change that failed, what is really done."""
    failed = present.terminal_condition.state == State.CONDITION_FAILED and not present.reconciling
    if failed and present.traffic_statuses:
        return [
            run_v2.TrafficTarget(type_=one.type_, revision=one.revision, percent=one.percent, tag=one.tag)
            for one in present.traffic_statuses
        ]
    return targets_of(present)


def _tags(present: run_v2.Service) -> Targets:
    """The tags alone, without traffic."""
    return [
        run_v2.TrafficTarget(type_=target.type_, revision=target.revision, percent=0, tag=target.tag)
        for target in _in_force(present)
        if target.tag
    ]


def _key(target: run_v2.TrafficTarget | run_v2.TrafficTargetStatus) -> tuple[int, str, int, str]:
    by_name = target.type_ == BY_NAME or (bool(target.revision) and target.type_ != LATEST)
    return (int(by_name), target.revision if by_name else "", target.percent, target.tag)
