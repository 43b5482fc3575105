"""Conditions of services and revisions, spelled as the real API spells them."""

from __future__ import annotations

from datetime import UTC, datetime

from google.cloud import run_v2

from netra_loop.cloud.embedded.instance import StartFailed

State = run_v2.Condition.State
READY = "Ready"
_HEALTHY = "ContainerHealthy"
_RESOURCES = "ResourcesAvailable"
_CONTAINER = "ContainerReady"
_ACTIVE = "Active"
_INFO = run_v2.Condition.Severity(run_v2.Condition.Severity.INFO)
_FAILS_AT = {"HEALTH_CHECK_CONTAINER_ERROR": _HEALTHY, "CONTAINER_MISSING": _CONTAINER}  # else at the resources


def condition(kind: str, state: int, failure: StartFailed | None = None, text: str = "") -> run_v2.Condition:
    """A condition as of now; `failure` gives it reason and message."""
    made = run_v2.Condition(type_=kind, state=state, last_transition_time=datetime.now(UTC), message=text)
    if failure is not None:
        made.message = str(failure)
        if failure.reason in run_v2.Condition.RevisionReason.__members__:
            made.revision_reason = getattr(run_v2.Condition.RevisionReason, failure.reason)
        else:
            made.reason = getattr(run_v2.Condition.CommonReason, failure.reason)
    return made


def revision_pending(revision: run_v2.Revision) -> None:
    """It was made and is to be started."""
    revision.reconciling = True
    revision.conditions = [
        condition(READY, State.CONDITION_RECONCILING, text="Deploying Revision."),
        condition(_CONTAINER, State.CONDITION_PENDING),
        condition(_HEALTHY, State.CONDITION_PENDING),
        condition(_RESOURCES, State.CONDITION_PENDING),
        condition(_ACTIVE, State.CONDITION_PENDING),
    ]


def revision_settled(revision: run_v2.Revision, failure: StartFailed | None) -> None:
    """It is up, or it failed."""
    revision.reconciling = False
    revision.observed_generation = revision.generation
    done, bad = State.CONDITION_SUCCEEDED, State.CONDITION_FAILED
    fails_at = _FAILS_AT.get(failure.reason, _RESOURCES) if failure is not None else None
    parts = []
    for kind, text in ((_CONTAINER, "Container image import completed."), (_RESOURCES, ""), (_HEALTHY, "")):
        if kind == fails_at:
            parts.append(condition(kind, bad, failure))
        elif fails_at is None or kind == _CONTAINER or (kind == _RESOURCES and fails_at == _HEALTHY):
            parts.append(condition(kind, done, text=text))
        else:
            parts.append(condition(kind, State.CONDITION_PENDING))  # it was never got to
    revision.conditions = [condition(READY, done if failure is None else bad, failure), *parts]


def revision_active(revision: run_v2.Revision, *, active: bool) -> None:
    """Whether requests can reach it: a matter of information, which says nothing about its being ready."""
    was = [made for made in revision.conditions if made.type_ == _ACTIVE]
    state = State.CONDITION_SUCCEEDED if active else State.CONDITION_FAILED
    if was and was[0].state == state:
        return
    now = condition(_ACTIVE, state, None if active else StartFailed("RETIRED", "Revision retired."))
    if not active:
        now.severity = _INFO
    revision.conditions = [*(made for made in revision.conditions if made.type_ != _ACTIVE), now]


def is_ready(revision: run_v2.Revision) -> bool:
    """Whether it may be given traffic."""
    return any(made.type_ == READY and made.state == State.CONDITION_SUCCEEDED for made in revision.conditions)


def failure_of(revision: run_v2.Revision) -> StartFailed | None:
    """Why it is not ready; None where it is, or is not settled yet."""
    for made in revision.conditions:
        if made.type_ == READY and made.state == State.CONDITION_FAILED:
            reason = made.revision_reason.name if "revision_reason" in made else made.reason.name
            return StartFailed(reason, made.message)
    return None


def service_pending(service: run_v2.Service, *, starts: bool) -> None:
    """A change was taken in; `starts`: it needs a new revision."""
    working = State.CONDITION_RECONCILING
    service.reconciling = True
    text = "Deploying Revision." if starts else "Routing traffic."
    service.terminal_condition = condition(READY, working, text=text)
    configurations = condition("ConfigurationsReady", working, text=text)
    service.conditions = [
        condition("RoutesReady", State.CONDITION_PENDING if starts else working, text="Waiting for traffic to move."),
        configurations if starts else condition("ConfigurationsReady", State.CONDITION_SUCCEEDED),
    ]


def service_settled(service: run_v2.Service, failure: StartFailed | None, *, in_routes: bool = False) -> None:
    """The change was carried out, or failed (`in_routes`: at the traffic, not at the revision)."""
    service.reconciling = False
    done, bad = State.CONDITION_SUCCEEDED, State.CONDITION_FAILED
    service.terminal_condition = condition(READY, done if failure is None else bad, failure)
    routes = condition("RoutesReady", bad, failure) if failure and in_routes else condition("RoutesReady", done)
    revision = failure if not in_routes else None
    service.conditions = [routes, condition("ConfigurationsReady", done if revision is None else bad, revision)]
    if failure is None:
        service.observed_generation = service.generation
