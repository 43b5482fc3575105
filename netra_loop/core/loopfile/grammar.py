"""The loop file, declared: each key with its shape and what an editor says about it. `LOOP` is the whole of it."""

from __future__ import annotations

from netra_loop.core.loopfile.grammar_journeys import JOURNEYS
from netra_loop.core.loopfile.grammar_phases import COMMAND, PHASES
from netra_loop.core.loopfile.grammar_services import ENV_SAID, ENVIRONMENT, NAME, SERVICES, VARIABLE
from netra_loop.core.loopfile.grammar_stages import STAGES
from netra_loop.core.loopfile.scalars import Duration, Fill, Json, Percent, Text, Truth, Whole, Word
from netra_loop.core.loopfile.trees import Either, Key, ListOf, MapOf, OneOf, Record

_FILLED = Text(Fill.YES)
_VALUE = Text(Fill.YES, numbers=True)
_PROSE = Text(Fill.PROSE)

_AUTH = OneOf(
    "a way to a token",
    (
        Key(
            "bypass",
            Record(
                "bypass",
                (
                    Key("url", _FILLED, "Where to ask for the token.", required=True),
                    Key("key", _FILLED, "The shared key to show there.", required=True),
                ),
            ),
            "Ask an endpoint of the environment for a token with a shared key.",
        ),
        Key(
            "jwt",
            Record(
                "jwt",
                (
                    Key("secret", _FILLED, "The key to sign with (HS256).", required=True),
                    Key("subject", _FILLED, "Whom the token is for: its `sub`.", required=True),
                    Key("ttl", Duration(), "How long it is valid.", attr="ttl_s"),
                    Key("claims", MapOf("claims", r"[\s\S]+", Json()), "More claims, any JSON."),
                ),
            ),
            "Sign a token ourselves.",
        ),
        Key("command", COMMAND, "Run a command that prints the token."),
        Key(
            "identity_token",
            Record(
                "identity_token",
                (Key("audience", _FILLED, "Whom it is for; the URL of the first service if not given."),),
            ),
            "Google's identity token of whoever runs netra-loop, for services that IAM protects.",
        ),
    ),
)

_TESTS = Record(
    "tests",
    (
        Key("paths", ListOf("paths", _FILLED), "Files and folders of pytest tests, relative to this file."),
        Key(
            "python",
            _FILLED,
            "The interpreter that has the tests' dependencies; the one netra-loop runs in, if not given.",
            nullable=True,
        ),
        Key(
            "root",
            Text(),
            "pytest's working directory, relative to this file; if not given, the folder that holds `loops/`.",
            nullable=True,
        ),
        Key("args", ListOf("arguments", _VALUE), "More arguments for pytest."),
        Key(
            "env",
            MapOf("environment variables", VARIABLE, _VALUE, said=ENV_SAID),
            "Environment variables of the tests' processes.",
        ),
        Key(
            "timeout",
            Duration(),
            "The limit of one test; past it, it is killed and its outcome is `timeout`.",
            "timeout_s",
        ),
        Key("workers", Whole(1, 1024), "How many processes run tests at the same time."),
        Key("isolation", Word(("worker", "test")), "`test`: each test in a process of its own."),
        Key(
            "retries",
            Whole(0, 20),
            "How often a failed test runs again on the same revision; a pass then is `flaky`.",
        ),
    ),
)

_TIER = Record(
    "a tier",
    (
        Key(
            "name",
            Text(pattern=r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}", what="a tier's name"),
            "Its name.",
            required=True,
        ),
        Key("title", _PROSE, "What it stands for."),
        Key("impact", _PROSE, "What a failure costs."),
        Key(
            "max_failures",
            Percent(),
            "The share of its tests that may fail with the goal still met; 0% if not given.",
        ),
        Key(
            "max_flaky",
            Percent(),
            "The share of its tests that may pass only on retry with the goal still met; any number if not given.",
        ),
        Key(
            "select",
            Either(
                Word(("all",)),
                Record(
                    "a selection",
                    (
                        Key("paths", ListOf("globs", Text(), least=1), "Globs over the tests' files."),
                        Key("keyword", Text(), "An expression as pytest's -k takes it."),
                        Key("marker", Text(), "An expression as pytest's -m takes it."),
                    ),
                    least=1,
                ),
            ),
            "The tests it owns: `all`, or those that any given kind matches. The first tier that matches owns a test.",
        ),
    ),
)

_WORKSPACE = Record(
    "the workspace",
    (
        Key(
            "git",
            Word(("none", "copy", "worktree")),
            "`none`: in place; `copy`: a copy of what is there; `worktree`: a git worktree of HEAD, on a branch "
            "netra-loop/SESSION.",
            required=True,
        ),
    ),
)

_GOAL = Record(
    "the goal",
    (
        Key(
            "authenticity",
            Word(("required", "report", "off")),
            "`required`: a pass without any exchange with the environment counts as a failure; `report`: it is listed.",
        ),
        Key("consecutive", Whole(1, 1000), "How many times in a row the tiers must be within their thresholds."),
        Key(
            "allow_regressions",
            Truth(),
            "`true`: what passed before and fails now counts as any failure. Otherwise it is never met with one.",
        ),
    ),
)

_LIMITS = Record(
    "the limits",
    (
        Key("iterations", Whole(1, 1_000_000), "How many times round at most."),
        Key("duration", Duration(), "How long the session may work in all.", "duration_s"),
        Key("no_progress", Whole(1, 1_000_000), "After how many iterations with the same findings it is stuck."),
    ),
)

LOOP = Record(
    "a loop",
    (
        Key("version", Whole(1, 1), "The version of this format."),
        Key(
            "name",
            # a session's id is the name and 22 characters more, and has to fit into a label of 63
            Text(
                pattern=r"[a-z0-9][a-z0-9-]{0,40}",
                what="a name of lower-case letters, digits and hyphens, 41 at most",
            ),
            "The loop's name; its sessions' ids begin with it.",
            required=True,
        ),
        Key("description", _PROSE, "What the loop is for."),
        Key(
            "vars",
            MapOf("variables", r"[A-Za-z_][A-Za-z0-9_-]*", _VALUE, said="letters, digits, _ and -"),
            "Values used as ${vars.NAME}; `--var NAME=VALUE` replaces one.",
        ),
        Key(
            "environments",
            MapOf("environments", NAME, ENVIRONMENT, said="lower-case letters, digits and hyphens", least=1),
            "Places to deploy to; the first is the default, `--env NAME` takes another.",
        ),
        Key(
            "workspace",
            _WORKSPACE,
            "Where source is changed and committed, and what is deployed from: a place of the session's own.",
        ),
        Key(
            "services",
            SERVICES,
            "The services under test, deployed in this order; each key is its Cloud Run service id.",
        ),
        Key(
            "auth",
            ListOf("ways to a token", _AUTH),
            "Ways to the token ${auth.token}, tried in order until one works.",
        ),
        Key("tests", _TESTS, "The pytest tests."),
        Key("tiers", ListOf("tiers", _TIER), "Priority groups in order; the first that selects a test owns it."),
        Key(
            "stages",
            STAGES,
            "How far a test got, in order: events by name, or other ways to a stage; the golden path's if not given.",
        ),
        Key("journeys", JOURNEYS, "Golden paths told in YAML: HTTP and WebSocket steps, run as tests."),
        Key("phases", PHASES, "A state machine: in order, unless `next` says otherwise.", required=True),
        Key("goal", _GOAL, "When the goal is met."),
        Key("limits", _LIMITS, "How far the loop goes before it gives up."),
        Key(
            "seal",
            Either(Word(("off",)), ListOf("globs", Text(), least=1)),
            "Globs of files, relative to this file, that no `run` phase may change: the tests, their conftest and this "
            "file, if not given; or `off`.",
        ),
    ),
)
