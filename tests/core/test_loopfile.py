import textwrap
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netra_loop.core import loopfile, loopschema, template
from netra_loop.core.spec import LoopSpec, StageSpec
from netra_loop.errors import LoopFileError, UsageError

PATH = Path("/project/loops/l.yaml")
LEAST = "name: x\ntests: {paths: [t]}\nphases: {select: {uses: select}}\n"
EXAMPLE = (Path(__file__).parent / "example_loop.yaml").read_text()


def load(text: str) -> LoopSpec:
    return loopfile.load(textwrap.dedent(text), PATH, "l.yaml")


def problems(text: str) -> list[str]:
    with pytest.raises(LoopFileError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def problem(text: str) -> str:
    found = problems(text)
    assert len(found) == 1, found
    return found[0]


class TestWhatAFileMeans:
    def test_the_least_there_can_be(self):
        spec = load(LEAST)
        assert (spec.name, spec.path, [phase.uses for phase in spec.phases]) == ("x", PATH, ["select"])
        assert {name: place.cloud for name, place in spec.environments.items()} == {"local": "none"}

    def test_a_loop_with_services_is_embedded_unless_it_says_otherwise(self):
        spec = load(LEAST + "services: {web: {command: [run]}}")
        assert spec.environments["local"].cloud == "embedded"

    def test_durations_and_percentages_become_numbers(self):
        spec = load(EXAMPLE)
        assert spec.tests.timeout_s == 120.0
        assert spec.limits.duration_s == 72_000.0
        assert [tier.max_failures for tier in spec.tiers] == [0.0, 0.1]
        assert spec.services["backend"].startup_probe.timeout_s == 60.0
        assert spec.auth[1].jwt.ttl_s == 3600.0

    def test_tiers_keep_their_order_and_all_selects_everything(self):
        tiers = load(EXAMPLE).tiers
        assert [tier.name for tier in tiers] == ["P1", "rest"]
        assert not tiers[0].select.everything
        assert tiers[0].select.paths == ("**/test_priority1*",)
        assert tiers[1].select.everything

    def test_a_tier_may_bound_the_passes_on_retry(self):
        first, second = load(LEAST + "tiers: [{name: a, max_flaky: 2.5%}, {name: b}]").tiers
        assert (first.max_flaky, second.max_flaky) == (0.025, None)

    def test_a_stage_is_a_name_or_one_name_with_its_way(self):
        stages = load(
            LEAST
            + """
stages:
  - connected
  - agent_started
  - asked: {sent: start_agent}
  - done: [answer, agent_completed]
  - connection: {received: hello}
  - created: {request: POST /runs/*, status: [201, 3xx]}
"""
        ).stages
        assert list(stages) == [
            StageSpec(name="connected", built_in=True),
            StageSpec(name="agent_started", received=("agent_started",)),
            StageSpec(name="asked", sent=("start_agent",)),
            StageSpec(name="done", received=("answer", "agent_completed")),
            StageSpec(name="connection", received=("hello",)),
            StageSpec(name="created", request="POST /runs/*", status=("201", "3xx")),
        ]

    def test_phases_keep_their_order_and_canonical_parameters(self):
        phases = load(EXAMPLE).phases
        assert [phase.name for phase in phases] == ["deploy", "select", "execute", "collect", "record", "fix", "audit"]
        assert phases[3].with_ == {"severity": "WARNING", "settle_s": 10.0}
        assert phases[5].with_ == {"command": ("./fix.sh", "--user", "${vars.user}"), "timeout_s": 1800.0}
        assert phases[6].with_ == {"command": "./audit.sh"}
        assert (phases[6].next, phases[6].attempts) == ({"ok": "deploy", "failed": "fix"}, 3)

    def test_a_websocket_becomes_the_first_step_and_every_step_knows_its_line(self):
        journey = load(EXAMPLE).journeys["agent-progression"]
        first, second, third = journey.steps[:3]
        assert first.connect.headers == {"Authorization": "Bearer ${auth.token}"}
        assert (second.expect.contains, second.expect.within_s) == ({"type": "connection_established"}, 5.0)
        assert third.send == {"type": "start_agent", "payload": {"user_request": "hello"}}
        lines = EXAMPLE.splitlines()
        assert "websocket" in lines[first.line - 1]
        assert "connection_established" in lines[second.line - 1]

    def test_a_request_keeps_status_body_and_saved_names(self):
        journey = load(EXAMPLE).journeys["over-http"]
        request = journey.steps[0].request
        assert (request.method, request.status, request.within_s) == ("POST", 200, 10.0)
        assert request.json_body == {"n": 1, "deep": [True, None, 1.5, "1.10"]}
        assert request.save == {"run": "run.id"}
        assert journey.steps[-1].close

    def test_off_is_a_word_and_no_truth_value(self):
        assert load(LEAST + "goal: {authenticity: off}").goal.authenticity == "off"

    def test_null_means_not_given_where_the_key_allows_it(self):
        spec = load(LEAST.replace("{paths: [t]}", "{python: null, root: ~}") + "services: {b: {url: null}}")
        assert (spec.tests.python, spec.tests.root, spec.services["b"].url) == (None, None, None)

    def test_whole_numbers_need_no_quotes_in_environment_variables(self):
        assert load(LEAST + "vars: {port: 8080}").vars == {"port": "8080"}

    def test_aliases_of_whole_values_are_read(self):
        spec = load(LEAST + "services: {a: {command: &c [run], env: {}}, b: {command: *c}}")
        assert spec.services["b"].command == ("run",)

    def test_a_byte_order_mark_does_no_harm(self):
        assert load("\ufeff" + LEAST).name == "x"

    def test_prose_may_hold_dollars(self):
        assert load(LEAST + "description: costs $120K, ${or not}").description == "costs $120K, ${or not}"


class TestProblems:
    def test_say_the_file_the_line_and_the_column(self):
        with pytest.raises(LoopFileError) as caught:
            loopfile.load(LEAST + "goal: {consecutive: 0}", PATH)
        assert str(caught.value) == f"{PATH}:4:21: expected a whole number from 1 to 1000, found 0".replace(
            "found 0", "found '0'"
        )
        assert caught.value.exit_code == 2

    @pytest.mark.parametrize(
        ("stages", "said"),
        [
            ("[]", "4:9: expected a list of stages, found an empty one"),
            ("[a, b, a]", "4:16: duplicate stage 'a', first on line 4"),
            ("[a, {a: b}]", "4:14: duplicate stage 'a', first on line 4"),
            ("[{a: []}]", "4:14: expected a list of events, found an empty one"),
            ("[{a: {sendt: x}}]", "4:15: unknown key 'sendt' in a way to a stage (did you mean 'sent'?)"),
            ("[{a: {sent: x, status: 200}}]", "4:24: status belongs to a stage that is reached by a request"),
            ("[{a: {}}]", "4:11: a stage is reached by one of received, sent, request, found none of them"),
            ("[{a: {request: GET}}]", "4:24: expected a request such as POST /runs or GET /runs/*, found 'GET'"),
            ("[{a: {request: /, status: 600}}]", "4:35: expected a status such as 201 or 2xx, found '600'"),
        ],
    )
    def test_of_stages_say_their_place(self, stages, said):
        assert problem(f"{LEAST}stages: {stages}") == f"l.yaml:{said}"

    def test_come_all_in_one_go_in_the_order_of_the_file(self):
        found = problems(
            """\
            name: Golden Path
            test: {paths: [t]}
            tests: {timeout: 30, workers: "4"}
            phases:
              a: {uses: exeute}
              b: {uses: run, with: {timout: 1h}}
            """
        )
        assert [line.split(": ")[0] for line in found] == [
            "l.yaml:1:7", "l.yaml:2:1", "l.yaml:3:18", "l.yaml:3:31", "l.yaml:5:13", "l.yaml:6:18", "l.yaml:6:25",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("test: {}", "tests"),
            ("goal: {authentcity: off}", "authenticity"),
            ("goal: {authenticity: of}", "off"),
            ("limits: {iteration: 1}", "iterations"),
            ("tiers: [{name: A, selct: all}]", "select"),
            ("services: {a: {comand: [x]}}", "command"),
            ("auth: [{jwt: {secret: a, subject: b, claim: {}}}]", "claims"),
            ("auth: [{comand: x}]", "command"),
            ("tiers: [{name: core}]\njourneys: {j: {tier: cor, steps: [close]}}", "core"),
            ("vars: {user: a}\nservices: {a: {env: {X: '${vars.usr}'}}}", "user"),
            ("services: {backend: {}, b: {env: {X: '${services.bakend.url}'}}}", "backend"),
            ("services: {b: {env: {X: '${environment.projct}'}}}", "project"),
            ("journeys: {j: {steps: [{expct: {type: a}}]}}", "expect"),
        ],
    )
    def test_suggest_what_was_probably_meant(self, text, meant):
        assert any(line.endswith(f"(did you mean {meant!r}?)") for line in problems(LEAST + text))

    @pytest.mark.parametrize(
        "text", ["name: x\nphases: {a: {uses: select}}", "tests: {}\nname: x", "tests: {}\nphases: {a: {uses: select}}"]
    )
    def test_required_keys(self, text):
        assert any(word in problem(text) for word in ("'tests' or 'journeys'", "needs 'phases'", "needs 'name'"))

    @pytest.mark.parametrize(
        "text",
        [
            "goal: 1", "tests: [a]", "tiers: {name: A}", "vars: [a]", "tests: {paths: t}", "tests: {workers: many}",
            "tests: {timeout: 1 fortnight}", "services: {Backend: {}}", "services: {b: {port: 70000}}",
            "services: {b: {startup_probe: {path: health}}}", "services: {b: {startup_probe: {timeout: 5m}}}",
            "services: {b: {command: []}}", "services: {b: {command: ' '}}", "services: {b: {env: {PORT: 1}}}",
            "services: {b: {env: {A-B: 1}}}", "auth: [{}]", "auth: [{jwt: {secret: a}}]",
            "auth: [{bypass: {url: a, key: b}, command: c}]", "tiers: [{name: A, max_failures: 5}]",
            "tiers: [{name: A, max_failures: 101%}]", "tiers: [{name: A, select: {}}]",
            "tiers: [{name: A, select: some}]",
            "tiers: [{max_failures: 0%}]", "journeys: {j: {steps: []}}", "journeys: {j: {steps: [{close: now}]}}",
            "journeys: {j: {steps: [{send: 1, expect: {a: 1}}]}}", "journeys: {j: {steps: [{expect: {within: 1s}}]}}",
            "journeys: {j: {steps: [{request: {url: u, method: get}}]}}", "environments: {}", "limits: {duration: 0s}",
            "goal: {authenticity: 'no'}", "version: 2",
            'journeys: {j: {steps: [{connect: {url: u, headers: {A: "b\\nc"}}}]}}',
        ],
    )  # fmt: skip
    def test_wrong_values(self, text):
        base = LEAST if "tests" not in text else LEAST.replace("tests: {paths: [t]}\n", "")
        assert "expected" in problem(base + text) or "needs" in problem(base + text) or "taken" in problem(base + text)

    def test_of_users_text_are_shown_harmless(self):
        line = problem(LEAST + 'goal: {authenticity: "\\e[31m\\u202e"}')
        assert "\x1b" not in line
        assert "\u202e" not in line

    def test_are_not_endless(self):
        found = problems("".join(f"key{number}: 1\n" for number in range(5000)))
        assert len(found) == 51
        assert "more after the first 50" in found[-1]


class TestNames:
    def test_duplicate_keys_name_the_first(self):
        assert problem(LEAST + "name: y") == "l.yaml:4:1: duplicate key 'name', first on line 1"

    def test_duplicate_tiers_name_the_first(self):
        assert problem(LEAST + "tiers:\n- name: A\n- name: A") == "l.yaml:6:9: duplicate tier 'A', first on line 5"

    def test_unknown_outcomes_and_targets(self):
        found = problems(
            """\
            name: x
            tests: {}
            phases:
              select: {uses: select, next: {met: done}}
              record: {uses: record, next: {met: don, unmet: selct}}
            """
        )
        assert [line.partition(": ")[2] for line in found] == [
            "unknown key 'met' in next of select",
            "unknown phase 'don' in next (did you mean 'done'?)",
            "unknown phase 'selct' in next (did you mean 'select'?)",
        ]

    def test_a_phase_that_nothing_reaches(self):
        line = problem(
            """\
            name: x
            tests: {}
            phases:
              select: {uses: select, next: {ok: record}}
              lost: {uses: execute}
              record: {uses: record}
            """
        )
        assert line.startswith("l.yaml:5:3: nothing reaches phase 'lost'")

    @pytest.mark.parametrize("next_", ["{}", "{failed: b}", "{ok: pause}", "{ok: done, failed: pause}"])
    def test_phases_that_something_may_reach(self, next_):
        text = f"name: x\ntests: {{}}\nphases: {{a: {{uses: select, next: {next_}}}, b: {{uses: record}}}}"
        assert len(load(text).phases) == 2

    def test_a_phase_may_not_be_called_like_a_target(self):
        assert "'done' is taken" in problem("name: x\ntests: {}\nphases: {a: {uses: select}, done: {uses: record}}")

    @pytest.mark.parametrize(
        ("phases", "idle"),
        [
            ("execute: {uses: execute}, compare: {uses: compare}, record: {uses: record}", False),
            ("execute: {uses: execute}, record: {uses: record}, compare: {uses: compare}", True),
            ("record: {uses: record}, compare: {uses: compare, next: {ok: record}}", True),
            ("execute: {uses: execute}, record: {uses: record}, compare: {uses: compare, next: {ok: record}}", False),
            (
                "tests: {uses: execute}, c: {uses: compare, next: {ok: stop, failed: record}}, record: {uses: record}",
                False,
            ),
            ("execute: {uses: execute}, compare: {uses: compare}", True),
        ],
    )
    def test_a_comparison_that_no_record_reads_is_doubted(self, phases, idle):
        found = loopfile.doubts(f"name: x\ntests: {{}}\nphases: {{{phases}}}", PATH)
        assert [one.line for one in found] == [3] * idle

    def test_what_is_wrong_is_no_doubt(self):
        with pytest.raises(LoopFileError):
            loopfile.doubts("name: x\n", PATH)

    def test_deploying_needs_services_and_they_a_command(self):
        text = "name: x\ntests: {}\nphases: {deploy: {uses: deploy}}\n"
        assert "needs 'services'" in problem(text)
        assert "needs 'command'" in problem(text + "services: {web: {}}")
        assert load(text + "services: {web: {}}\nenvironments: {there: {cloud: none}}").services


class TestReferences:
    @pytest.mark.parametrize(
        "text",
        [
            "vars: {a: '${vars.b}', b: x}",
            "vars: {a: '${auth.token}'}",
            "services: {a: {env: {X: '${services.b.url}'}}, b: {}}",
            "services: {a: {env: {X: '${services.a.url}'}}}",
            "services: {a: {env: {X: '${auth.token}'}}}",
            "services: {a: {url: '${saved.x}'}}",
            "services: {a: {url: '${vars.nothing}'}}",
            "services: {a: {url: '${environment.endpoint}'}}",
            "journeys: {j: {steps: [{send: '${saved.x}'}]}}",
            "journeys: {j: {steps: [{request: {url: '${saved.x}', save: {x: a}}}]}}",
            "journeys: {j: {steps: [{send: {deep: [['${services.a.url}']]}}]}}",
            "tiers: [{name: A, select: {keyword: '${vars.k}'}}]",
        ],
    )
    def test_to_what_is_not_known_there(self, text):
        assert problem(LEAST + text)

    def test_to_what_an_earlier_step_saved(self):
        steps = "[{request: {url: u, save: {id: a.b}}}, {send: {id: '${saved.id}'}}]"
        assert load(LEAST + f"journeys: {{j: {{steps: {steps}}}}}")

    def test_to_a_service_deployed_earlier(self):
        assert load(LEAST + "services: {a: {}, b: {env: {X: '${services.a.url}'}}}")

    @pytest.mark.parametrize("quote", ["", "'", '"'])
    def test_are_placed_inside_their_text(self, quote):
        line = problem(LEAST + f"vars:\n  user: {quote}abc ${{evn.X}}{quote}")
        assert line.startswith(f"l.yaml:5:{13 + len(quote)}: unknown variable")

    def test_in_commands_of_the_shell_must_be_quotable(self):
        text = "name: x\ntests: {}\nphases: {f: {uses: run, with: {command: 'echo `${iteration}`'}}}"
        assert "stands in backquotes" in problem(text)


GOOGLE = "environments: {s: {cloud: google, project: p, region: r}}"
DEPLOYS = "name: x\ntests: {}\nphases: {d: {uses: deploy}}\n"


class TestGoogle:
    def test_everything_a_service_may_say(self):
        text = """\
environments: {s: {cloud: google, project: "${env.P:-p}", region: r, endpoint: "http://127.0.0.1:9010"}}
services:
  db: {image: d}
  web:
    image: "reg/${environment.project}/web:${git.sha}"
    build: docker build -t ${image} ${source} && docker push ${image}
    build_timeout: 10m
    entrypoint: [serve, "${services.db.url}"]
    secrets: {KEY: "key:3"}
    traffic: tagged
    needs: [db]
    resources: {cpu: 2, memory: 1Gi, cpu_always: true, startup_boost: false}
    scaling: {min: 0, max: 3}
    concurrency: 20
    timeout: 15m
    service_account: web@p.iam.gserviceaccount.com
    labels: {team: core}
    vpc: {network: n, subnet: s, tags: [a], egress: all-traffic}
auth: [{identity_token: {audience: "${services.web.url}"}}, {identity_token: {}}]
"""
        spec = load(DEPLOYS + text)
        web = spec.services["web"]
        assert (web.resources.cpu, web.resources.cpu_always, web.scaling.max, web.request_timeout_s) == (
            "2",
            True,
            3,
            900,
        )
        assert (web.secrets, web.needs, web.build_timeout_s) == ({"KEY": "key:3"}, ("db",), 600)
        assert web.vpc is not None
        assert web.vpc.egress == "all-traffic"
        assert spec.environments["s"].endpoint == "http://127.0.0.1:9010"
        assert [way.identity_token is not None for way in spec.auth] == [True, True]

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("environments: {s: {cloud: google, region: r}}", "needs 'project'"),
            ("environments: {s: {cloud: google, project: p}}", "needs 'region'"),
            ("environments: {s: {endpoint: 'http://h:1'}}", "'endpoint' belongs to cloud: google"),
            (GOOGLE[:-2] + ", secrets: {a: b}}}", "'secrets' belongs to cloud: embedded"),
            (GOOGLE[:-2] + ", endpoint: 'https://h'}}", "expected http://HOST:PORT or unix:PATH"),
            (GOOGLE + "\nservices: {a: {command: [x]}}", "needs 'image'"),
            (GOOGLE[:-2] + ", endpoint: 'unix:/s'}}\nservices: {a: {}}", "needs 'image' or 'command'"),
            ("services: {a: {image: i}}", "needs 'command'"),
            ("services: {a: {command: [x], needs: [b]}}", "unknown service 'b' in needs"),
            ("services: {a: {command: [x], needs: [b]}, b: {command: [x], needs: [a]}}", "in a circle"),
            ("services: {a: {command: [x], needs: [a]}}", "in a circle"),
            ("services: {a: {command: [x], build: 'b ${image}'}}", "has no image"),
            ("services: {a: {command: [x, '${image}'], image: i}}", "${image} is not known in services"),
            ("services: {a: {command: [x], env: {K_REVISION: a}}}", "is taken"),
            ("services: {a: {command: [x], env: {X_GOOGLE_A: a}}}", "the platform's"),
            ("services: {a: {command: [x], labels: {netra-loop-x: a}}}", "are our own"),
            ("services: {a: {command: [x], timeout: 2h}}", "expected at most 1h"),
            ("services: {a: {command: [x], resources: {cpu_always: 'yes'}}}", "expected true or false"),
            ("services: {a: {command: [x], resources: {memory: 512}}}", "512"),
            ("services: {a: {command: [x], vpc: {}}}", "vpc needs one of"),
        ],
    )
    def test_what_cannot_be(self, text, said):
        assert any(said in line for line in problems(DEPLOYS + text))

    def test_services_are_deployed_after_those_they_need(self):
        text = "services: {a: {command: [x], needs: [c]}, b: {command: [x]}, "
        text += "c: {command: [x, '${services.b.url}'], needs: [b]}}"
        assert load(DEPLOYS + text).deploy_order == ("b", "c", "a")

    def test_where_needs_are_said_only_they_make_a_url_known(self):
        text = "services: {a: {command: [x]}, b: {command: [x, '${services.a.url}']}, c: {command: [x], needs: [a]}}"
        assert "no earlier than 'b'" in problem(DEPLOYS + text)


class TestFixing:
    """Where source is changed, what may not be, and the phases about it."""

    LOOP = """\
name: x
tests: {paths: [t]}
services: {web: {command: [serve]}}
workspace: {git: worktree}
phases:
  deploy: {uses: select}
  record: {uses: record, next: {unmet: fix}}
  fix: {uses: run, with: {command: ./fix.sh, paths: [src]}}
  commit: {uses: commit, with: {paths: [src], message: 'fix: ${iteration}'}}
  look: {uses: compare, with: {tests: 20}}
  pause: {uses: wait, with: {for: revision, timeout: 1h, period: 5s}, next: {ok: deploy}}
"""

    def test_the_phases_have_their_parameters(self):
        loop = load(self.LOOP.replace("pause:", "hold:"))
        assert loop.workspace.git == "worktree"
        assert loop.phase("fix").with_["paths"] == ("src",)
        assert loop.phase("commit").with_ == {"paths": ("src",), "message": "fix: ${iteration}"}
        assert loop.phase("look").with_ == {"tests": 20}
        assert loop.phase("hold").with_ == {"for": "revision", "timeout_s": 3600.0, "period_s": 5.0}

    def test_a_wait_is_for_what_can_come(self):
        text = self.LOOP.replace("pause:", "hold:")
        wait = "{for: revision, timeout: 1h, period: 5s}"
        assert load(text.replace(wait, "{for: commit, ref: main}")).phase("hold").with_["ref"] == "main"
        assert "needs 'services'" in problem(text.replace("services: {web: {command: [serve]}}\n", ""))
        assert "'ref' belongs to for: commit" in problem(text.replace(wait, "{for: resume, ref: main}"))
        copied = text.replace("worktree", "copy").replace(wait, "{for: commit, ref: main}")
        assert "a branch of the checkout" in problem(copied)
        assert "expected a branch" in problem(text.replace(wait, "{for: commit, ref: --upload-pack=x}"))

    def test_a_commit_needs_a_place_of_its_own(self):
        text = self.LOOP.replace("pause:", "hold:").replace("workspace: {git: worktree}\n", "")
        assert "which needs workspace: {git: worktree} or {git: copy}" in problem(text)

    @pytest.mark.parametrize(("uses", "needed"), [("commit", "paths"), ("wait", "for"), ("run", "command")])
    def test_what_is_needed_is_named(self, uses, needed):
        text = f"name: x\ntests: {{}}\nworkspace: {{git: copy}}\nphases: {{a: {{uses: {uses}}}}}"
        assert f"needs with: {{{needed}: …}}" in problem(text)

    def test_the_seal(self):
        assert load(LEAST).seal is None
        assert load(LEAST + "seal: off").seal == ()
        assert load(LEAST + "seal: ['tests/**', conf.py]").seal == ("tests/**", "conf.py")
        assert "empty" in problem(LEAST + "seal: []")

    def test_regressions_are_allowed_by_name_alone(self):
        assert not load(LEAST).goal.allow_regressions
        assert load(LEAST + "goal: {allow_regressions: true}").goal.allow_regressions


def nested(levels: int) -> str:
    return "a: " + "[" * levels + "]" * levels


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 12)
)


class TestHostileInput:
    @pytest.mark.parametrize(
        ("text", "line", "message"),
        [
            (BOMB, 5, "more than 20000 values"),
            ("a: &a [*a]", 1, "refers to no anchor"),
            (nested(20_000), 1, "nested deeper than 64"),
            ("- " * 20_000, 1, "nested deeper than 64"),
            ("{a: " * 20_000, 1, "nested deeper than 64"),
            ("\n".join(" " * level + "a:" for level in range(500)), 65, "nested deeper than 64"),
            ("\n\na: !!python/object/apply:os.system [id]", 3, "the tag '!!python/object/apply:os.system'"),
            ("a: !custom x", 1, "the tag '!custom'"),
            ("a: b\nc: \0", 2, "U+0000"),
            ("a: b\nc: \x1b[31m", 2, "U+001B"),
            ("a: \ud800", 1, "U+D800"),
            ('a: "\\0"', 1, "NUL"),
            ('a: "\\U99999999"', 1, "not valid YAML"),
            ("%YAML 1." + "9" * 5000 + "\n---\na: b", 1, "not valid YAML"),
            ("a: [1, 2", 1, "not valid YAML"),
            ("a: b: c", 1, "not valid YAML"),
            ("a: 1\n---\nb: 2", 2, "second document"),
            ("<<: {a: b}", 1, "merge keys"),
            ("? [a]\n: b", 1, "expected a key"),
            ("", 1, "the file is empty"),
            ("# nothing\n", 1, "the file is empty"),
            ("just text", 1, "expected a loop"),
            ("- a\n- b", 1, "expected a loop"),
            ("a" * 100_000_000, 1, "expected at most 1048576"),
            ("#" + "a" * 1_000_000, 1, "the file is empty"),
            ("".join(f"k{number}: v\n" for number in range(60_000)), 10_000, "more than 20000 values"),
        ],
        ids=range(26),
    )
    def test_is_refused_at_its_place_soon(self, text, line, message):
        began = time.monotonic()
        with pytest.raises(LoopFileError) as caught:
            loopfile.load(text, PATH)
        assert time.monotonic() - began < 20
        found = [problem for problem in caught.value.problems if message in problem.message]
        assert found, caught.value
        assert line in {found[0].line, found[0].line - 1}

    @pytest.mark.parametrize(
        "value", ["NO", "yes", "on", "true", "1.10", "12:30", "0x1F", "1_000", "2001-01-01", ".inf", "~", ""]
    )
    @pytest.mark.parametrize("place", ["description: {}", "vars:\n  a: {}", "services: {{b: {{source: {}}}}}"])
    def test_yaml_that_means_something_else_than_text_needs_quotes(self, value, place):
        assert "expected text" in problem(LEAST + place.format(value))
        assert load(LEAST + place.format(f'"{value}"'))

    @pytest.mark.parametrize("value", ["NO", "off", "012", "0x1F", "12:30", "1_000", "2001-01-01", ".nan", "1e999"])
    def test_json_that_readers_of_yaml_disagree_about_needs_quotes(self, value):
        step = "journeys: {{j: {{steps: [send: {{a: {}}}]}}}}"
        assert "l.yaml:4:34" in problem(LEAST + step.format(value))
        assert load(LEAST + step.format(f"'{value}'")).journeys["j"].steps[0].send == {"a": value}

    @given(st.text(max_size=60))
    def test_any_text_at_all(self, text):
        assert self.loads_or_is_refused_by_line(text)

    @settings(max_examples=200)
    @given(
        st.lists(
            st.sampled_from(
                [*EXAMPLE.replace("\n", " \n ").split(" "), "&a", "*a", "!!str", "-", "{", "}", "[", "]", ":", "\n  "]
            ),
            max_size=40,
        ).map(" ".join)
    )
    def test_shuffled_pieces_of_a_loop(self, text):
        assert self.loads_or_is_refused_by_line(text)

    @settings(max_examples=200)
    @given(st.integers(0, len(EXAMPLE)), st.integers(0, 20), st.text("{}[]:-'\"&*!#$\n x1", max_size=5))
    def test_a_loop_with_something_overwritten(self, start, length, text):
        assert self.loads_or_is_refused_by_line(EXAMPLE[:start] + text + EXAMPLE[start + length :])

    def loads_or_is_refused_by_line(self, text: str) -> bool:
        """False where it is neither a loop nor refused for problems that lie on lines it has."""
        try:
            return isinstance(loopfile.load(text, PATH), LoopSpec)
        except LoopFileError as error:
            last = len(f"{text}.".splitlines()) + 1
            return bool(error.problems) and all(1 <= problem.line <= last for problem in error.problems)


class TestApplyVars:
    def test_replaces_what_the_file_declares(self):
        spec = load(LEAST + "vars: {user: a, kept: b}")
        assert loopfile.apply_vars(spec, {"user": "c"}).vars == {"user": "c", "kept": "b"}
        assert spec.vars["user"] == "a"

    def test_takes_values_literally(self):
        spec = loopfile.apply_vars(load(LEAST + "vars: {user: a}"), {"user": "${env.HOME} $$"})
        assert template.render(spec.vars["user"], {}) == "${env.HOME} $$"

    def test_refuses_what_the_file_does_not_declare(self):
        with pytest.raises(UsageError, match=r"'usr' is no variable of l\.yaml \(did you mean 'user'\?\)"):
            loopfile.apply_vars(load(LEAST + "vars: {user: a}"), {"usr": "b"})


def test_every_loop_that_is_shipped_is_right():
    loops = sorted((Path(__file__).parents[2] / "loops").glob("*.yaml"))
    assert loops
    for path in loops:
        assert loopfile.load(path.read_text(), path).name


def test_every_loop_in_the_documentation_is_right():
    page = (Path(__file__).parents[2] / "docs" / "loop-file.md").read_text()
    loops = [block.partition("```")[0] for block in page.split("```yaml\n")[1:]]
    assert len(loops) == 5
    for loop in loops:
        assert loopfile.load(loop, PATH).name


def test_the_documentation_names_every_key():
    page = (Path(__file__).parents[2] / "docs" / "loop-file.md").read_text()
    assert [name for name in keys(loopschema.schema()) if f"`{name}" not in page] == []


def keys(schema: object) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(keys, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", {})).union(*map(keys, schema.values()))


@pytest.mark.parametrize("option", ["--collect-only", "-x", "--maxfail=1", "-n", "--lf"])
def test_pytest_s_options_that_a_loop_answers_for_itself_are_refused(option):
    text = f"name: x\ntests: {{paths: [t], args: ['{option}']}}\nphases: {{a: {{uses: select}}}}\n"
    with pytest.raises(LoopFileError, match="has no effect here"):
        loopfile.load(text, Path("/x/loops/x.yaml"))
