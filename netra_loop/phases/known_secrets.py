"""The secrets that a session knows of from its start: by the names of variables, by `auth`, by URLs with passwords.

Each has a label that says where its value comes from, so that a place that must not hold the value can name it instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from netra_loop.core import template
from netra_loop.core.redact import MIN_LENGTH, Redactor
from netra_loop.core.secret_names import names_secret, passwords_in
from netra_loop.core.spec import LoopSpec
from netra_loop.phases.scope import Scope


def known_secrets(spec: LoopSpec, scope: Scope) -> dict[str, str]:
    """Values that must not be stored, by label: those of variables whose name says so, wherever the loop gets them
    from, those of `auth`, those of the environment's `secrets`, and passwords within URLs. None is empty.
    """
    found: dict[str, str] = {}
    for label, value in _all(spec, scope):
        if value:
            found.setdefault(label, value)
    return found


def holding_secrets(spec: LoopSpec, scope: Scope, redactor: Redactor) -> dict[str, str]:
    """The services' variables, by label, that hold a secret in whatever form, as far as their values are known now."""
    values = {
        f"services.{name}.env.{variable}": _known_now(text, scope)
        for name, service in spec.services.items()
        for variable, text in service.env.items()
    }
    return {label: value for label, value in values.items() if redactor.text(value) != value}


def too_short(secrets: Mapping[str, str]) -> list[str]:
    """The labels of the loop's own secrets that are too short to be looked for in what is stored: they would be found
    in innocent words. The process's other variables are left out: most have nothing to do with the loop.
    """
    return sorted(
        label for label, value in secrets.items() if len(value) < MIN_LENGTH and not label.startswith("the variable ")
    )


def _all(spec: LoopSpec, scope: Scope) -> Iterator[tuple[str, str]]:
    for name, value in scope.environ.items():
        if names_secret(name):
            yield f"the variable {name}", value
        elif "://" in value:
            yield from _of_urls(f"the variable {name}", value)
    for place, name, text in _variables(spec):
        value = _known_now(text, scope)
        if names_secret(name):
            yield f"{place}.{name}", value
            yield from _written(f"{place}.{name}", text)
        elif "://" in text or "://" in value:
            yield from _of_urls(f"{place}.{name}", value or text)
        yield from _defaults(f"{place}.{name}", text)
    for label, text in _of_auth(spec, scope):
        yield label, _known_now(text, scope)
        yield from _written(label, text)


def _variables(spec: LoopSpec) -> Iterator[tuple[str, str, str]]:
    places = {"vars": spec.vars, "tests.env": spec.tests.env if spec.tests else {}}
    places |= {f"services.{name}.env": service.env for name, service in spec.services.items()}
    for place, values in places.items():
        for name, text in values.items():
            yield place, name, text
    for name, service in spec.services.items():
        yield f"services.{name}", "url", service.url or ""


def _of_auth(spec: LoopSpec, scope: Scope) -> Iterator[tuple[str, str]]:
    for place, way in enumerate(spec.auth):
        if way.jwt is not None:
            yield f"auth.{place}.jwt.secret", way.jwt.secret
        if way.bypass is not None:
            yield f"auth.{place}.bypass.key", way.bypass.key
    for environment, about in spec.environments.items():
        for name, text in about.secrets.items():
            yield f"environments.{environment}.secrets.{name}", text if environment == scope.environment else ""


def _written(label: str, text: str) -> Iterator[tuple[str, str]]:
    """What the loop file itself says of a secret, beside references and whatever takes the place of a default now."""
    for number, part in enumerate(template.parse(text).parts):
        if isinstance(part, str) and len(part) >= MIN_LENGTH:
            yield f"{label}, part {number}", part
        elif not isinstance(part, str) and part.default is not None and len(part.default) >= MIN_LENGTH:
            yield f"{label}, default {number}", part.default


def _defaults(label: str, text: str) -> Iterator[tuple[str, str]]:
    for reference in template.parse(text).references:
        if reference.default and names_secret(reference.name.partition(".")[2]):
            yield f"{label}, default of {reference.name}", reference.default


def _of_urls(label: str, value: str) -> Iterator[tuple[str, str]]:
    for number, password in enumerate(passwords_in(value)):
        yield f"{label}, password {number}", password


def _known_now(text: str, scope: Scope) -> str:
    """What `text` will be filled in with, where the environment and the loop's variables tell it; else empty, and
    whatever uses it says what is missing.
    """
    for reference in template.parse(text).references:
        if not reference.name.startswith(("env.", "vars.")):
            return ""
        if reference.default is None and not _is_set(reference.name, scope):
            return ""
    return scope.text(text)


def _is_set(name: str, scope: Scope) -> bool:
    root, _, rest = name.partition(".")
    if root == "env":
        return rest in scope.environ
    return rest in scope.spec.vars and bool(_known_now(scope.spec.vars[rest], scope))
