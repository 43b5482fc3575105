"""`uses: deploy`: a revision for each service, made once for each intent."""

from __future__ import annotations

import shlex
from dataclasses import replace

from netra_loop.cloud.base import Cloud, Deployed, DeployRequest, Failed
from netra_loop.core.events import Adopted
from netra_loop.core.findings import DeployFailure, Facts, make_findings
from netra_loop.core.records import Batch
from netra_loop.core.spec import ServiceSpec
from netra_loop.errors import UsageError
from netra_loop.phases.base import PhaseContext, PhaseResult
from netra_loop.phases.known import earlier_findings, sources
from netra_loop.phases.serving import revision_ready


class Deploy:
    """Deploys every service in the file's order. The labels of a revision name its intent, so whatever an interrupted
    attempt made is found and adopted: `run` and `reconcile` are the same.
    """

    async def run(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.run`. A revision that never gets ready is the outcome `failed`, its reason among the facts."""
        cloud = await context.tools.cloud()
        if cloud is None or not context.spec.services:
            missing = "services" if cloud else "a cloud in its environment"
            raise UsageError(
                f"phase {context.phase.name!r} deploys, but the loop has no {missing}",
                hint=f"give the loop {missing}, or take the phase out of {context.spec.path.name}",
            )
        names = []
        for service, spec in context.spec.services.items():
            answer = await self._deploy(context, cloud, service, spec)
            if isinstance(answer, Failed):
                return await _failed(context, context.redactor.deep(answer))
            if answer.adopted:
                await context.event(Adopted(what="revision", name=answer.revision.name))
            await context.event(revision_ready(answer.revision))
            names.append(answer.revision.name)
        return PhaseResult("ok", f"{', '.join(names)} ready", {"revisions": names})

    async def reconcile(self, context: PhaseContext) -> PhaseResult:
        """See `Phase.reconcile`."""
        return await self.run(context)

    async def _deploy(self, context: PhaseContext, cloud: Cloud, service: str, spec: ServiceSpec) -> Deployed | Failed:
        scope = context.scope()
        probe = spec.startup_probe
        request = DeployRequest(
            service=service,
            session=context.session,
            iteration=context.iteration,
            source=str((context.spec.base_dir / scope.text(spec.source)).resolve()),
            command=scope.command(spec.command),
            port=spec.port,
            env={name: scope.text(value) for name, value in spec.env.items()},
        )
        if probe is not None:
            request = replace(
                request,
                probe_path=probe.path,
                probe_timeout_s=probe.timeout_s,
                probe_period_s=probe.period_s,
            )

        def progress(text: str) -> None:
            context.observer.progress(context.redactor.text(text))

        progress(f"deploying {service}: {shlex.join(request.command)}")
        return await cloud.deploy(request, progress)


async def _failed(context: PhaseContext, answer: Failed) -> PhaseResult:
    """The outcome with its finding, so that there is one even where no `record` follows."""
    failure = DeployFailure(answer.service, answer.revision, answer.reason, answer.message, answer.log_lines)
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
    }
    summary = f"{answer.revision} never got ready: {answer.reason}: {answer.message}"
    batch = Batch(findings=tuple(findings), findings_iteration=context.iteration)
    return PhaseResult("failed", summary, facts, batch)
