"""What to do about a revision that did not get ready: told by phrases, since codes and reasons differ over time."""

from __future__ import annotations

import re

_ALSO_IN_LINES = (
    (
        r"ran out of memory|Memory limit of .* exceeded",
        "give the service more memory: `resources: {{memory: 1Gi}}` in the loop file",
    ),
    (
        r"exec format error|Container import failed",
        "build the image for linux/amd64: docker build --platform linux/amd64 …",
    ),
)
_IN_THE_ANSWER = (
    (
        r"failed the configured startup probe checks",
        (
            "see the last lines: `startup_probe.path` did not answer 2xx at 0.0.0.0:$PORT in `startup_probe.timeout`; "
            "mend the path or the port that the service listens on, or give it more time"
        ),
    ),
    (
        r"failed to start and listen on the port|HEALTH_CHECK_CONTAINER_ERROR",
        (
            "see the last lines: the service has to listen on 0.0.0.0:$PORT, not on 127.0.0.1 or a port of its own; "
            "where it is only slow to start, give it a `startup_probe` with a longer `timeout`"
        ),
    ),
    (
        r"[Ss]ecret \S+ was not found",
        (
            "make it, or mend its name: gcloud secrets create SECRET --data-file=FILE --project {project}; "
            "the embedded cloud has it from `secrets` of its environment, or from netra-loop cloud --secret NAME=VALUE"
        ),
    ),
    (
        r"Permission denied on secret|SECRETS_ACCESS_CHECK_FAILED",
        (
            "let the service's account read it: gcloud secrets add-iam-policy-binding SECRET "
            "--role=roles/secretmanager.secretAccessor --member=serviceAccount:ACCOUNT --project {project}"
        ),
    ),
    (
        r"must have permission to read the image|CONTAINER_PERMISSION_DENIED|CONTAINER_IMAGE_UNAUTHORIZED",
        (
            "let Cloud Run read the image: grant roles/artifactregistry.reader on its repository to "
            "service-PROJECT_NUMBER@serverless-robot-prod.iam.gserviceaccount.com"
        ),
    ),
    (
        r"[Ii]mage '[^']*' not found|CONTAINER_MISSING",
        "was the image pushed under this name? gcloud artifacts docker images list, or give the service a `build`",
    ),
    (
        r"iam\.service[aA]ccounts\.actAs",
        "let the deployer act as the service's account: grant it roles/iam.serviceAccountUser on that account",
    ),
    (
        r"Quota violated|Max instances must be set|maxScale may not exceed",
        "lower `scaling.max` or `resources` of the service, or ask for more quota of project {project}",
    ),
    (r"VPC_NETWORK_NOT_FOUND", "check `vpc` of the service: network, subnet and region have to exist together"),
    (r"does not exist or is deleted", "the traffic names a revision that is gone: it is built anew by the next deploy"),
    (
        r"AnotherRevisionServes",
        "the traffic did not follow: gcloud run services describe SERVICE --project {project} says why",
    ),
    (
        r"PROGRESS_DEADLINE_EXCEEDED",
        "see the last lines and the progress told last; a slow start needs a longer `startup_probe.timeout`",
    ),
)


def hint_for(reason: str, message: str, lines: tuple[str, ...], project: str) -> str:
    """What to do next; "" where nothing is known. The container's last lines may say more than the answer does."""
    places = ((_ALSO_IN_LINES, (message, *lines)), (_IN_THE_ANSWER, (message,)), (_IN_THE_ANSWER, (reason,)))
    for table, texts in places:
        for phrase, what in table:
            if any(re.search(phrase, text) for text in texts):
                return what.format(project=project)
    return ""
