"""Tests of what `${…}` stands for."""

import pytest

from netra_loop.core.records import Revision
from netra_loop.core.spec import EnvironmentSpec, LoopSpec, PhaseSpec, ServiceSpec
from netra_loop.errors import UsageError
from netra_loop.phases.scope import Scope, websocket_url

REVISION = Revision("backend", "backend-00001-fak", "http://backend.invalid:81", "ws://backend.invalid:81")


@pytest.fixture
def scope(tmp_path):
    spec = LoopSpec(
        name="night",
        path=tmp_path / "night.yaml",
        vars={"user": "me", "greeting": "hello ${vars.user} in ${env.PLACE}"},
        environments={"staging": EnvironmentSpec(project="${env.PROJECT:-demo}", region="here")},
        services={"backend": ServiceSpec(), "front": ServiceSpec(url="https://${vars.user}.example.com/")},
        phases=(PhaseSpec(name="select", uses="select"),),
    )
    return Scope(
        spec,
        "staging",
        "night-1",
        7,
        {"PLACE": "town", "EMPTY": ""},
        {"backend": REVISION},
        "t0ken",
        {"sha": "abcdef0", "short_sha": "abc", "branch": "main"},
        {"thread": "th-1"},
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${env.PLACE}", "town"),
        ("${env.NOWHERE:-else}", "else"),
        ("${vars.user}", "me"),
        ("${vars.greeting}!", "hello me in town!"),
        ("${environment.name}", "staging"),
        ("${environment.project}", "demo"),
        ("${environment.region}", "here"),
        ("${services.backend.url}", "http://backend.invalid:81"),
        ("${services.backend.ws_url}", "ws://backend.invalid:81"),
        ("${services.backend.revision}", "backend-00001-fak"),
        ("${services.front.url}/x", "https://me.example.com/x"),
        ("${services.front.ws_url}", "wss://me.example.com"),
        ("${auth.token}", "t0ken"),
        ("${git.sha} ${git.short_sha} ${git.branch}", "abcdef0 abc main"),
        ("${session.id} ${iteration}", "night-1 7"),
        ("${saved.thread}", "th-1"),
        ("$$5", "$5"),
    ],
)
def test_every_kind_of_variable_has_its_value(scope, text, value):
    assert scope.text(text) == value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${env.NOWHERE}", "'NOWHERE' is not set"),
        ("${vars.nobody}", "has no value"),
        ("${environment.endpoint}", "has no value"),
        ("${saved.nothing}", "has no value"),
        ("${services.front.revision}", "has no revision"),
    ],
)
def test_what_is_not_known_is_the_user_s_mistake_with_a_hint(scope, text, told):
    with pytest.raises(UsageError, match=told) as caught:
        scope.text(text)
    assert caught.value.hint or "environment." in text


def test_a_service_before_its_deploy_has_no_url(scope):
    bare = Scope(scope.spec, "staging", "night-1", 1, {})
    assert bare.service_url("backend") is None
    with pytest.raises(UsageError, match="'backend' has no revision"):
        bare.text("${services.backend.url}")


def test_without_a_token_or_a_repository_nothing_is_made_up(scope):
    bare = Scope(scope.spec, "staging", "night-1", 1, {})
    for text in ("${auth.token}", "${git.sha}"):
        with pytest.raises(UsageError, match="has no value"):
            bare.text(text)


def test_lists_and_mappings_are_filled_in_all_through(scope):
    assert scope.any({"a": ["${iteration}", 1], "b": {"c": "${vars.user}"}}) == {"a": ["7", 1], "b": {"c": "me"}}


def test_a_value_is_not_read_again(scope):
    assert scope.with_saved({"x": "${env.PLACE}"}).text("${saved.x}") == "${env.PLACE}"


@pytest.mark.parametrize(
    ("url", "ws_url"),
    [("http://a:1", "ws://a:1"), ("https://a", "wss://a"), (None, None)],
)
def test_a_websocket_is_reached_where_the_service_is(url, ws_url):
    assert websocket_url(url) == ws_url
