"""Conditions of services and revisions, spelled as the real API spells them."""

from __future__ import annotations

from datetime import UTC, datetime

from google.cloud import run_v2

from netra_loop.cloud.embedded.instance import StartFailed

State = run_v2.Condition.State
READY = "Ready"


def condition(kind: str, state: int, failure: StartFailed | None = None) -> run_v2.Condition:
    """A condition as of now; `failure` gives it reason and message."""
    made = run_v2.Condition(type_=kind, state=state, last_transition_time=datetime.now(UTC))
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
    revision.conditions = [condition(READY, State.CONDITION_RECONCILING)]


def revision_settled(revision: run_v2.Revision, failure: StartFailed | None) -> None:
    """It is up, or it failed."""
    revision.reconciling = False
    revision.observed_generation = revision.generation
    state = State.CONDITION_SUCCEEDED if failure is None else State.CONDITION_FAILED
    revision.conditions = [
        condition(READY, state, failure),
        condition("ContainerHealthy", state, failure),
        condition("ResourcesAvailable", State.CONDITION_SUCCEEDED),
    ]


def failure_of(revision: run_v2.Revision) -> StartFailed | None:
    """Why it is not ready; None where it is, or is not settled yet."""
    for made in revision.conditions:
        if made.type_ == READY and made.state == State.CONDITION_FAILED:
            reason = made.revision_reason.name if "revision_reason" in made else made.reason.name
            return StartFailed(reason, made.message)
    return None


def service_pending(service: run_v2.Service) -> None:
    """A change was taken in."""
    service.reconciling = True
    service.terminal_condition = condition(READY, State.CONDITION_RECONCILING)
    service.conditions = [
        condition("RoutesReady", State.CONDITION_RECONCILING),
        condition("ConfigurationsReady", State.CONDITION_RECONCILING),
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
