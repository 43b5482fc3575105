"""Whether a session can go on as asked: its loop and its options held against what it has already done."""

from __future__ import annotations

from netra_loop.beginning import Options
from netra_loop.core import template
from netra_loop.core.machine import Start, decide
from netra_loop.core.spec import TARGETS, LoopSpec
from netra_loop.core.state import Mode, State
from netra_loop.errors import UsageError
from netra_loop.journal.base import SessionHead
from netra_loop.phases.kept import agree
from netra_loop.phases.scope import Scope

_NOT_DEPLOYED = {"build_timeout_s"}  # of a service, what changes nothing about its revision


def check_resumable(head: SessionHead, state: State, before: LoopSpec, now: LoopSpec, options: Options) -> None:
    """Refuses a resume whose loop or options contradict what the session has already done."""
    anew = f"netra-loop run {now.path}"
    names = {phase.name for phase in now.phases} | set(TARGETS)
    missing = next((name for name in (state.phase, state.target) if name is not None and name not in names), None)
    if missing is not None:
        raise UsageError(
            f"session {head.id!r} stands at phase {missing!r}, which {now.path.name} no longer has", hint=anew
        )
    if head.environment not in now.environments:
        raise UsageError(f"{now.path.name} no longer has the session's environment {head.environment!r}", hint=anew)
    if options.only is not None and state.selection is not None and options.only != state.only:
        raise UsageError(
            f"--only {options.only!r} comes too late: iteration {state.iteration} has made its selection",
            hint=f"netra-loop resume {head.id}",
        )
    under_way = state.mode is Mode.OPEN and state.last_uses == "deploy"
    served = _served(before, head.environment), _served(now, head.environment)
    if (state.revisions or under_way) and not _deploys(now, state) and not agree(*served):
        raise UsageError(
            f"session {head.id!r} deploys its services as they were when it began; they have changed since, and what "
            "is tested would not be what the loop describes",
            hint=anew,
        )


def _deploys(spec: LoopSpec, state: State) -> bool:
    """Whether what comes next takes the place of the revisions there are."""
    following = decide(spec, state)
    return isinstance(following, Start) and spec.phase(following.phase).uses == "deploy"


def check_set(scope: Scope, state: State) -> None:
    """Raises UsageError where the embedded cloud would have to start a revision anew, and what that was given is
    neither stored nor set now.
    """

    def lookup(name: str) -> str | None:
        return scope.lookup(name) if name.startswith(("env.", "vars.")) else ""

    if scope.spec_environment().cloud != "embedded" or _deploys(scope.spec, state):
        return
    for service in state.revisions:
        if service in scope.spec.services:
            for name, text in scope.spec.services[service].env.items():
                template.render(text, lookup, where=f"services.{service}.env.{name}")


def _served(spec: LoopSpec, environment: str) -> object:
    """The services as they are deployed, and where, the loop's own variables filled in."""

    def lookup(name: str) -> str:
        root, _, rest = name.partition(".")
        return spec.vars.get(rest, "") if root == "vars" else "${" + name + "}"

    where = spec.environments[environment].model_dump(include={"cloud", "project", "region", "endpoint"})
    services = {name: service.model_dump(exclude=_NOT_DEPLOYED) for name, service in spec.services.items()}
    return template.render_any({"environment": where, "services": services}, lookup)
