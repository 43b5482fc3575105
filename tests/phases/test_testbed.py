"""Tests of what tests are given and how their interpreter is started."""

import sys
from pathlib import Path

import pytest

from netra_loop.core.records import Outcome
from netra_loop.core.spec import (
    ConnectStep,
    EnvironmentSpec,
    JourneySpec,
    RequestStep,
    ServiceSpec,
    StepSpec,
    TestsSpec,
)
from netra_loop.errors import UsageError
from netra_loop.phases.given import interpreter
from netra_loop.phases.testbed import environment_hosts, pool_options, proxy_hosts


def options(bench, **tests):
    bench.change(tests=TestsSpec(**{"paths": ("../tests",), **tests}))
    context = bench.context("select")
    return pool_options(context, context.scope())


def test_paths_are_relative_to_pytest_s_folder_so_that_ids_read_as_usual(bench):
    made = options(bench, paths=("../tests", "golden-path/tests/test_a.py::TestB::test_c", "/elsewhere/tests"))
    assert made.root == bench.spec.base_dir.parent
    assert made.paths == ("tests", "loops/golden-path/tests/test_a.py::TestB::test_c", "/elsewhere/tests")


def test_the_loop_says_how_tests_run(bench):
    made = options(bench, args=("-p", "${iteration}"), workers=3, timeout_s=4.0, isolation="test")
    assert (made.args, made.workers, made.timeout_s, made.isolation) == (("-p", "1"), 3, 4.0, "test")
    assert made.testrun_uid == bench.session


def test_equal_intents_give_equal_options(bench):
    assert options(bench) == options(bench)


async def test_a_test_is_given_what_the_contract_says(bench):
    bench.tools.environ = {"HOME": "/home/me", "NETRA_LOOP_TOKEN": "of an outer session", "NETRA_LOOP_STORE": "kept"}
    bench.change(
        services={"backend": ServiceSpec(), "auth-svc": ServiceSpec(url="https://auth.example.com")},
        tests=TestsSpec(paths=("../tests",), env={"BACKEND_URL": "${services.backend.url}", "HOME": "/elsewhere"}),
    )
    bench.tools.access = "t0ken"
    await bench.deployed()
    bench.tests(one=Outcome.PASSED)
    await bench.act("select")
    assert dict(bench.tools.asked[-1].env) == {
        "HOME": "/elsewhere",
        "BACKEND_URL": "http://backend-00001-fak.invalid",
        "NETRA_LOOP_STORE": "kept",
        "NETRA_LOOP_SESSION": bench.session,
        "NETRA_LOOP_ITERATION": "1",
        "NETRA_LOOP_ENV": "local",
        "NETRA_LOOP_REVISION": "backend-00001-fak",
        "NETRA_LOOP_URL": "http://backend-00001-fak.invalid",
        "NETRA_LOOP_WS_URL": "ws://backend-00001-fak.invalid",
        "NETRA_LOOP_URL_BACKEND": "http://backend-00001-fak.invalid",
        "NETRA_LOOP_URL_AUTH_SVC": "https://auth.example.com",
        "NETRA_LOOP_TOKEN": "t0ken",
    }


def test_an_outer_session_s_variables_are_not_passed_on(bench):
    bench.tools.environ = {"NETRA_LOOP_REVISION": "outer", "NETRA_LOOP_URL": "http://outer", "PATH": "/bin"}
    bench.change(services={})
    assert sorted(options(bench).env) == ["NETRA_LOOP_ENV", "NETRA_LOOP_ITERATION", "NETRA_LOOP_SESSION", "PATH"]


# ----------------------------------------------------------------------------------------------------- interpreter


def found(bench, python):
    bench.change(tests=TestsSpec(python=python))
    return interpreter(bench.spec, bench.scope())


def test_by_default_it_is_our_own(bench):
    assert found(bench, None) == Path(sys.executable)


def test_a_link_is_not_followed_out_of_its_virtual_environment(bench):
    linked = bench.spec.base_dir / "venv" / "bin" / "python"
    linked.parent.mkdir(parents=True)
    linked.symlink_to(sys.executable)
    assert found(bench, "venv/bin/python") == linked
    assert found(bench, str(linked)) == linked


def test_a_name_is_looked_up_on_the_path(bench):
    folder = bench.tools.folder / "bin"
    folder.mkdir()
    (folder / "python-of-mine").symlink_to(sys.executable)
    bench.tools.environ = {"PATH": str(folder)}
    assert found(bench, "python-of-mine") == folder / "python-of-mine"


@pytest.mark.parametrize("named", ["nowhere/bin/python", "python-of-nobody"])
def test_one_that_is_missing_is_named(bench, named):
    bench.tools.environ = {"PATH": "/nowhere"}
    with pytest.raises(UsageError, match=named) as caught:
        found(bench, named)
    assert "night.yaml" in str(caught.value.hint)


# ----------------------------------------------------------------------------------------------------------- hosts


def hosts(bench, *listed, token=None):
    bench.change(environments={"local": EnvironmentSpec(hosts=listed)})
    context = bench.context("execute")
    return environment_hosts(context, context.scope().with_token(token))


async def test_services_and_listed_hosts_belong_to_the_environment(bench):
    await bench.deployed()
    assert hosts(bench, "auth.example.com", "db.example.com:5432", "[::1]:80", "https://cdn.example.com") == (
        ("backend-00001-fak.invalid", 80),
        ("auth.example.com", None),
        ("db.example.com", 5432),
        ("::1", 80),
        ("cdn.example.com", None),
    )


async def test_the_tests_variables_add_no_host_where_there_are_services(bench):
    await bench.deployed()
    bench.change(tests=TestsSpec(env={"OTHER": "http://elsewhere.example.com"}))
    assert hosts(bench) == (("backend-00001-fak.invalid", 80),)


def test_without_services_it_is_what_the_loop_s_urls_name(bench):
    env = {"A": "https://a.example.com/x", "B": "ws://b.example.com:8", "T": "${auth.token}", "N": "http://[", "D": "x"}
    steps = (
        StepSpec(connect=ConnectStep(url="wss://c.example.com/ws")),
        StepSpec(request=RequestStep(url="http://d.example.com:81/")),
        StepSpec(request=RequestStep(url="http://${saved.host}/")),
    )
    bench.change(services={}, tests=TestsSpec(env=env), journeys={"j": JourneySpec(name="j", steps=steps)})
    assert hosts(bench, token="t0ken") == (
        ("a.example.com", 443),
        ("b.example.com", 8),
        ("c.example.com", 443),
        ("d.example.com", 81),
    )


@pytest.mark.parametrize(
    "name", ["OTEL_EXPORTER_OTLP_ENDPOINT", "HTTP_PROXY", "https_proxy", "SENTRY_DSN", "MY_PROXY_URL", "DD_TRACE_URL"]
)
def test_a_proxy_or_a_place_for_telemetry_is_not_what_is_tested(bench, name):
    bench.change(services={}, tests=TestsSpec(env={name: "http://127.0.0.1:4318", "URL": "http://127.0.0.1:80"}))
    assert hosts(bench) == (("127.0.0.1", 80),)


def test_where_hosts_are_listed_they_alone_count(bench):
    bench.change(services={}, tests=TestsSpec(env={"STUB_URL": "http://127.0.0.1:9999"}))
    assert hosts(bench, "staging.example.com") == (("staging.example.com", None),)


def test_a_listed_host_that_is_none_is_the_loop_file_s_mistake(bench):
    with pytest.raises(UsageError, match="names no host"):
        hosts(bench, "auth.example.com:port")


def test_proxies_are_those_the_tests_are_told_of():
    env = {
        "HTTP_PROXY": "http://user:secret@proxy.example.com:3128",
        "https_proxy": "proxy.example.com:3128",
        "ALL_PROXY": "socks5h://[::1]:1080",
        "WS_PROXY": "http://no-port.example.com",
        "wss_proxy": "http://[",
        "NO_PROXY": "localhost",
    }
    assert proxy_hosts(env) == (("proxy.example.com", 3128), ("::1", 1080), ("no-port.example.com", None))
    assert proxy_hosts({}) == ()
