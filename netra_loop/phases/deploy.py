"""`uses: deploy`: a revision for each service, made once for each intent."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TypeVar

from netra_loop.cloud.base import Cloud, DeployRequest, Failed
from netra_loop.core.events import Adopted, TrafficMoved
from netra_loop.core.findings import DeployFailure, Facts, make_findings
from netra_loop.core.model import Model
from netra_loop.core.records import Batch
from netra_loop.core.spec import ServiceSpec
from netra_loop.errors import EnvironmentFailed, ForeignChange, NetraLoopError, StoreError, UsageError
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.building import build, takes_image
from netra_loop.phases.known import earlier_findings, sources
from netra_loop.phases.readiness import Looks, until_it_answers
from netra_loop.phases.restoring import RESUMED, look_first, restore
from netra_loop.phases.scope import Scope
from netra_loop.phases.serving import revision_ready, under_test
from netra_loop.phases.tagging import tag_of
from netra_loop.phases.taking import at_head, take

M = TypeVar("M", bound=Model)


class Deploy:
    """Builds what is to be built, then deploys every service, each after those it needs, from source that stays as it
    is (`taking`). The labels of a revision name its intent, so whatever an interrupted attempt made is found and
    adopted: `run` and `reconcile` are the same.

    Fails it, in whatever way, then every service it changed serves its last good revision again, pinned by name.
    Cancelling leaves the deploy under way for the resume to adopt: a new revision takes the traffic only once it is
    ready, paused or not.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. A revision that never gets ready, or a build that fails, is the outcome `failed`, its reason
        among the facts.
        """
        cloud = await context.tools.cloud()
        if cloud is None or not context.spec.services:
            missing = "services" if cloud else "a cloud in its environment"
            raise UsageError(
                f"phase {context.phase.name!r} deploys, but the loop has no {missing}",
                hint=f"give the loop {missing}, or take the phase out of {context.spec.path.name}",
            )
        context = await at_head(context)
        for service in context.spec.deploy_order:
            failed = await build(context, service, context.spec.services[service])
            if failed is not None:
                return await _failed(context, failed)
        return await self._all(context, cloud)

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _all(self, context: PhaseContext, cloud: Cloud) -> PhaseResult:
        names: list[str] = []
        under_way = None
        try:
            looks = Looks()
            for service in context.spec.deploy_order:
                under_way = service
                answer = await self._one(context, cloud, service, names, looks)
                if isinstance(answer, Failed):
                    return await _given_up(context, cloud, names, context.redactor.deep(answer))
        except (StoreError, _NotSentBack):
            raise  # what cannot be stored cannot be known later; what cannot be sent back was tried
        except Exception as error:
            await _send_back_over(error, context, cloud, names, under_way)
            raise
        return PhaseResult("ok", f"{', '.join(names)} ready", {"revisions": names})

    async def _one(
        self, context: PhaseContext, cloud: Cloud, service: str, names: list[str], looks: Looks
    ) -> Failed | None:
        """Deploys one service and adds its revision to `names`, as soon as there is one."""
        spec, scope = context.spec.services[service], context.scope()
        request = _request(context, scope, service, spec, str(await take(context, service)))

        def progress(text: str) -> None:
            context.observer.progress(context.redactor.text(text))

        progress(f"deploying {service}: {request.image or shlex.join(request.command)}")
        sent_back = await look_first(context, cloud, service, request.tag)
        answer = await cloud.deploy(request, progress)
        if answer.adopted:
            name = answer.revision if isinstance(answer, Failed) else answer.revision.name
            await context.event(Adopted(what="revision", name=name))
        if isinstance(answer, Failed):
            names.append(answer.revision)
            return answer
        if sent_back and answer.adopted:
            await context.event(TrafficMoved(service=service, revision=None, why=RESUMED))
        revision = under_test(scope, spec, replace(answer.revision, tag=request.tag))
        names.append(revision.name)
        failed = await until_it_answers(context, cloud, revision, spec, looks)
        if failed is not None:
            return failed
        await context.event(revision_ready(revision))
        return None


def _request(context: PhaseContext, scope: Scope, service: str, spec: ServiceSpec, source: str) -> DeployRequest:
    of_image = takes_image(context.environment, spec)
    request = DeployRequest(
        service=service,
        session=context.session,
        iteration=context.iteration,
        source=source,
        command=scope.command(spec.entrypoint if of_image else spec.command),
        port=spec.port,
        env={name: scope.text(value) for name, value in spec.env.items()},
        image=scope.text(spec.image) if of_image and spec.image is not None else None,
        secrets={name: scope.text(value) for name, value in spec.secrets.items()},
        labels={name: scope.text(value) for name, value in spec.labels.items()},
        resources=_filled(scope, spec.resources),
        scaling=spec.scaling,
        vpc=None if spec.vpc is None else _filled(scope, spec.vpc),
        concurrency=spec.concurrency,
        request_timeout_s=spec.request_timeout_s,
        service_account=None if spec.service_account is None else scope.text(spec.service_account),
        tag=tag_of(context.session, context.iteration) if spec.traffic == "tagged" else None,
    )
    probe = spec.startup_probe
    if probe is None:
        return request
    return replace(request, probe_path=probe.path, probe_timeout_s=probe.timeout_s, probe_period_s=probe.period_s)


def _filled(scope: Scope, model: M) -> M:
    return type(model).model_validate(scope.any(model.model_dump()))


class _NotSentBack(EnvironmentFailed):
    """A revision failed, and the traffic could not be sent back either: both are told, a resume tries again."""


async def _given_up(context: PhaseContext, cloud: Cloud, names: list[str], answer: Failed) -> PhaseResult:
    try:
        await restore(context, cloud, names)
    except EnvironmentFailed as trouble:
        told = f"{answer.revision} never got ready: {answer.reason}: {answer.message}; and {trouble}"
        raise _NotSentBack(told, hint=trouble.hint) from trouble
    return await _failed(context, answer)


async def _send_back_over(
    error: Exception, context: PhaseContext, cloud: Cloud, made: list[str], under_way: str | None
) -> None:
    """Restores after `error`, which the deploy of `under_way` raised. Where that fails too both are told."""
    spare = error.service if isinstance(error, ForeignChange) else None
    try:
        await restore(context, cloud, made, spare=spare, unsure=under_way)
    except EnvironmentFailed as trouble:
        hint = "; ".join(filter(None, (error.hint if isinstance(error, NetraLoopError) else None, trouble.hint)))
        raise EnvironmentFailed(f"{error}; and {trouble}", hint=hint or None) from error


async def _failed(context: PhaseContext, answer: Failed) -> PhaseResult:
    """The outcome with its finding, so that there is one even where no `record` follows."""
    failure = DeployFailure(
        answer.service, answer.revision, answer.reason, answer.message, answer.log_lines, answer.hint
    )
    findings = make_findings(
        Facts(
            iteration=context.iteration,
            sources=sources(context),
            tiers=context.spec.tiers,
            deploy_failure=failure,
            previous=await earlier_findings(context),
        )
    )
    facts = {
        "service": answer.service,
        "revision": answer.revision,
        "reason": answer.reason,
        "message": answer.message,
        "log_lines": list(answer.log_lines),
        "hint": answer.hint,
    }
    told = f"{answer.reason}: {answer.message}"
    summary = f"{answer.revision} never got ready: {told}" if answer.revision else told
    if answer.hint:
        summary += f" ({answer.hint})"
    batch = Batch(findings=tuple(findings), findings_iteration=context.iteration)
    return PhaseResult("failed", summary, facts, batch)
