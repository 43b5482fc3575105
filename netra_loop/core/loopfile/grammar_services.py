"""Services and the places they are deployed to, declared."""

from __future__ import annotations

from netra_loop.core.loopfile.grammar_phases import COMMAND
from netra_loop.core.loopfile.scalars import Duration, Fill, Text, Truth, Whole, Word
from netra_loop.core.loopfile.trees import Key, ListOf, MapOf, Record

NAME = r"[a-z0-9][a-z0-9-]{0,62}"
SERVICE = r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?"
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
ENV_SAID = "letters, digits and _, not a digit first"
SET_BY_CLOUD_RUN = ("PORT", "K_SERVICE", "K_REVISION", "K_CONFIGURATION")

_FILLED = Text(Fill.YES)
_VALUE = Text(Fill.YES, numbers=True)
# Cloud Run refuses these names whoever sets them (reserved prefixes)
_SERVICE_VARIABLE = r"(?!CLOUD_RUN_|X_GOOGLE_)" + VARIABLE
_SERVICE_VARIABLE_SAID = f"{ENV_SAID}; CLOUD_RUN_… and X_GOOGLE_… are the platform's"
# Cloud Run's labels: a lower-case letter first, 63 at most; ours name the session
_LABEL = r"(?!netra-loop-)[a-z][a-z0-9_-]{0,62}"

ENVIRONMENT = Record(
    "an environment",
    (
        Key(
            "cloud",
            Word(("embedded", "google", "none")),
            "Where revisions live: `embedded` is a small Cloud Run on this machine, `google` the real one, "
            "`none` tests what is there.",
        ),
        Key("project", _VALUE, "The project that the revisions belong to; google needs it."),
        Key("region", _FILLED, "The region that the revisions live in; google needs it."),
        Key(
            "endpoint",
            Text(Fill.YES, "http://HOST:PORT or unix:PATH", pattern=r"(?:(?:http://|unix:)\S+|\S*\$\{\S*)"),
            "With google: plain-text gRPC for both APIs, such as an emulator's; without it Google itself.",
            nullable=True,
        ),
        Key("hosts", ListOf("hosts", _FILLED), "Hosts that belong to the environment beside the services' own."),
        Key(
            "secrets",
            MapOf("secrets", r"[A-Za-z0-9_-]{1,255}", _VALUE, said="letters, digits, _ and -"),
            "What the embedded cloud's Secret Manager holds, by the secret's name.",
        ),
    ),
)

_PROBE = Record(
    "a startup probe",
    (
        Key(
            "path",
            Text(pattern=r"/\S*", what="a path that begins with /"),
            "What HTTP GET asks for until it gets 2xx.",
        ),
        Key("timeout", Duration(most_s=240.0), "The whole wait, 240s at most.", attr="timeout_s"),
        Key("period", Duration(most_s=240.0), "From one try to the next.", attr="period_s"),
    ),
)

_RESOURCES = Record(
    "resources",
    (
        Key(
            "cpu",
            Text(numbers=True, pattern=r"(?:[0-9]+m|[0-9]+(?:\.[0-9]+)?)", what="CPUs such as 2 or 500m"),
            "CPUs of an instance: 1, 2, 4, 6, 8, or thousandths such as 500m.",
        ),
        Key(
            "memory",
            Text(pattern=r"[0-9]+(\.[0-9]+)?(k|Ki|M|Mi|G|Gi)", what="a size such as 512Mi"),
            "Memory of an instance, such as 512Mi or 2Gi.",
        ),
        Key("cpu_always", Truth(), "The CPU is there between requests too."),
        Key("startup_boost", Truth(), "More CPU while an instance starts."),
    ),
)

_SCALING = Record(
    "scaling",
    (
        Key("min", Whole(0, 1000), "How many instances are kept at least."),
        Key("max", Whole(1, 1000), "How many instances there may be at most."),
    ),
)

_VPC = Record(
    "vpc",
    (
        Key("connector", _FILLED, "A Serverless VPC Access connector."),
        Key("network", _FILLED, "The network, for direct VPC egress."),
        Key("subnet", _FILLED, "The subnetwork, for direct VPC egress."),
        Key("tags", ListOf("network tags", _FILLED), "Network tags, for direct VPC egress."),
        Key("egress", Word(("private-ranges-only", "all-traffic")), "What leaves through the VPC."),
    ),
    least=1,
)

_SERVICE = Record(
    "a service",
    (
        Key("source", _FILLED, "The service's folder, relative to this file; its command is started there."),
        Key("command", COMMAND, "How the embedded cloud starts it: a list runs without a shell, a text under `sh -c`."),
        Key("port", Whole(1, 65_535), "The container port, given to the process as PORT."),
        Key(
            "env",
            MapOf("environment variables", _SERVICE_VARIABLE, _VALUE, _SERVICE_VARIABLE_SAID, taken=SET_BY_CLOUD_RUN),
            "The revision's environment variables.",
        ),
        Key(
            "secrets",
            MapOf("secrets", _SERVICE_VARIABLE, _FILLED, _SERVICE_VARIABLE_SAID, taken=SET_BY_CLOUD_RUN),
            "Environment variables out of Secret Manager: SECRET or SECRET:VERSION, else its `latest`.",
        ),
        Key(
            "startup_probe",
            _PROBE,
            "HTTP GET until it answers 2xx; without it a TCP connection to the port is enough.",
        ),
        Key("url", _FILLED, "An address to test at, instead of the one the cloud gives.", nullable=True),
        Key(
            "traffic",
            Word(("latest", "tagged")),
            "`latest`: a new revision takes the traffic at once; `tagged`: it gets none, is tested at a URL of its own "
            "and promoted once the goal is met.",
        ),
        Key("image", _FILLED, "The container image to deploy to google."),
        Key("build", COMMAND, "A command that builds and pushes the image, before the deploy; it may use ${image}."),
        Key("build_timeout", Duration(), "How long `build` may take; 30m if not given.", attr="build_timeout_s"),
        Key("entrypoint", COMMAND, "What the container runs on google instead of the image's own entry point."),
        Key("needs", ListOf("services", Text()), "Services that are deployed before it and have to be ready."),
        Key("resources", _RESOURCES, "CPU and memory of an instance."),
        Key("scaling", _SCALING, "How many instances of the revision there may be."),
        Key("concurrency", Whole(1, 1000), "How many requests one instance takes at the same time."),
        Key("timeout", Duration(most_s=3600.0), "The limit of one request, 1h at most.", attr="request_timeout_s"),
        Key("service_account", _FILLED, "The account the revision runs as."),
        Key(
            "labels",
            MapOf(
                "labels", _LABEL, _VALUE,
                said="a lower-case letter, then lower-case letters, digits, _ and -; netra-loop-… are our own",
            ),
            "Labels of the revision.",
        ),
        Key("vpc", _VPC, "How the revision reaches a VPC."),
    ),
)  # fmt: skip

SERVICES = MapOf(
    "services",
    SERVICE,
    _SERVICE,
    said="a Cloud Run service id: lower-case letters, digits and hyphens, a letter first, 49 at most",
)
