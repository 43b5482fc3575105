"""Tests of the secrets that a session knows of from its start, and of what it does not take for one."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

from netra_loop.core import loopfile
from netra_loop.core.secret_values import Secrets
from netra_loop.core.spec import LoopSpec
from netra_loop.phases.known_secrets import in_their_place_only, known_secrets, withheld
from netra_loop.phases.scope import Scope

SESSION = "golden-path-20261121-101500-abcd"
LOOP = """
version: 1
name: golden-path
vars: {{user: staging-e2e-user-001}}
environments:
  local: {{cloud: embedded, secrets: {{PEPPER: pepper-of-local-1}}}}
  staging: {{cloud: embedded, secrets: {{PEPPER: "${{env.STAGING_PEPPER:-pepper-of-staging-1}}"}}}}
services:
  backend:
    source: golden-path/service
    command: [python, -m, agent_backend, "--key=${{env.E2E_BYPASS}}"]
    env:
{env}
auth:
  - bypass: {{url: "http://auth.example.com/token", key: "${{env.E2E_BYPASS}}"}}
tests: {{paths: [tests], env: {{BACKEND_URL: "${{services.backend.url}}/api"}}}}
phases: {{deploy: {{uses: deploy}}, select: {{uses: select}}, execute: {{uses: execute}}, record: {{uses: record}}}}
"""


def opened(env: str, environ: Mapping[str, str] | None = None) -> tuple[LoopSpec, Scope]:
    text = LOOP.format(env=textwrap.indent(env or "A: a", "      "))
    spec = loopfile.load(text, Path("/srv/shop-night/loops/golden-path.yaml"))
    return spec, Scope(spec, "local", SESSION, 0, environ or {})


def known(env: str = "", environ: Mapping[str, str] | None = None) -> Secrets:
    return known_secrets(*opened(env, environ))


def test_words_of_the_loop_stay_readable_wherever_they_are():
    env = """
    API_TOKEN: "Bearer ${env.RAW}"
    DATABASE_URL: "postgres://postgres:postgres@db:5432/orders-db"
    TOKEN_ENDPOINT: "http://auth.example.com/token"
    KEY_PREFIX: staging
    DB_PASSWORD: "${env.DB_PASSWORD}"
    """
    environ = {"DB_PASSWORD": "backend", "RAW": "r4w-value-9", "SHOP_KEY": "shop-night", "USER_TOKEN": "golden-path"}
    environ |= {"MODULE_SECRET": "agent_backend"}
    text = known(env, environ).redactor().text
    for said in (
        f"netra-loop resume {SESSION}",
        "/srv/shop-night/loops/golden-path.yaml: service backend said: 401",
        "agent_backend.core: no such run",
        "Bearer of news: the postgres of staging is not up, see http://auth.example.com/token and tests/test_orders.py",
        "tests/test_a.py::test_x[backend-postgres]",
    ):
        assert text(said) == said
    assert text("DB_PASSWORD=backend, USER_TOKEN=golden-path") == "DB_PASSWORD=[redacted], USER_TOKEN=[redacted]"
    assert text("postgres://postgres:postgres@db:5432/orders-db") == "postgres://[redacted]@db:5432/orders-db"
    assert text("r4w-value-9 at db") == "[redacted] at db"


def test_plain_ones_of_the_loop_are_told_of():
    env = 'DB_PASSWORD: "${env.DB_PASSWORD}"\nPG_PASSWORD: "${env.DB_PASSWORD}"'
    assert in_their_place_only(known(env, {"SHELL_TOKEN": "tiny", "DB_PASSWORD": "backend"})) == [
        "services.backend.env.DB_PASSWORD"
    ]


def test_both_a_url_and_the_password_in_it_are_secrets_whatever_the_variable_is_called():
    url = "postgres://me:pa55-w0rd-1@db/x"
    for some in (
        known("DSN_SECRET: " + url),
        known("DSN: " + url),
        known("", {"DSN_SECRET": url}),
        known("", {"D": url}),
    ):
        assert some.redactor().text("it is pa55-w0rd-1 here") == "it is [redacted] here"
    assert url in {secret.value for secret in known("", {"DSN_SECRET": url}).known}


def test_secrets_of_environments_that_were_not_chosen_are_secrets():
    text = known("", {"STAGING_PEPPER": "pepper-of-today-1"}).redactor().text
    for value in ("pepper-of-local-1", "pepper-of-staging-1", "pepper-of-today-1"):
        assert text(f"<{value}>") == "<[redacted]>"


def test_what_auth_refers_to_is_a_secret_whatever_its_name_and_wherever_it_stands_beside():
    text = known('COPY: "${env.E2E_BYPASS}"', {"E2E_BYPASS": "open-sesame"}).redactor().text
    assert text("they said open-sesame") == "they said [redacted]"


def test_so_is_a_variable_that_only_a_secret_is_made_of():
    text = known('A_SECRET: "${vars.user}"').redactor().text
    assert text("they said staging-e2e-user-001") == "they said [redacted]"
    text = known('A_SECRET: "${vars.user}/${env.RAW}"', {"RAW": "r4w-value-9"}).redactor().text
    assert text("staging-e2e-user-001") == "staging-e2e-user-001"
    assert text("staging-e2e-user-001/r4w-value-9") == "[redacted]"


def test_a_literal_beside_a_reference_is_one_only_if_chance_made_it():
    some = known('A_TOKEN: "k9f8e7d6c5b4a3f2e1-${env.RAW}"', {"RAW": "x"})
    assert some.redactor().text("k9f8e7d6c5b4a3f2e1-") == "[redacted]"


def test_what_services_are_given_is_withheld_by_the_place_that_declares_it():
    env = """
    JWT_SECRET: "${env.JWT_SECRET:-demo}"
    DATABASE_URL: "postgres://me:${env.DB_PASSWORD}@db/x"
    COPY: "${env.E2E_BYPASS}"
    PEER: "${git.sha}/?key=${env.API_KEY}"
    MODE: demo
    PORT_NAME: "8080"
    """
    environ = {"E2E_BYPASS": "open-sesame", "API_KEY": "another-sesame"}
    spec, scope = opened(env, environ)
    assert withheld(spec, scope, known_secrets(spec, scope).redactor()) == {
        "services.backend.env.JWT_SECRET": "demo",
        "services.backend.env.DATABASE_URL": None,
        "services.backend.env.COPY": "open-sesame",
        "services.backend.env.PEER": None,
        "services.backend.command.3": "--key=open-sesame",
    }
