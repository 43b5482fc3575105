"""The secrets that a session knows of from its start: by the names of variables, by `auth`, by URLs with passwords.

Each has a label that says where its value comes from, so that a place that must not hold the value can name it instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from netra_loop.core import template
from netra_loop.core.redact import Redactor
from netra_loop.core.secret_names import names_secret
from netra_loop.core.secret_values import Secret, Secrets, by_chance, of_environment, of_urls, words_of
from netra_loop.core.spec import Command, LoopSpec
from netra_loop.phases.scope import Scope
from netra_loop.settings import STORE_VARIABLE, passwords_of

_KNOWN_FROM_THE_START = ("env.", "vars.", "environment.", "session.")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z_./-]{2,}")  # or a program, or a file
_DEEPEST = 20  # variables that refer to variables; the loop file's checks refuse circles
_BYPASS_NAMES = ("X-E2E-Bypass-Key", "x-e2e-bypass-key", "key")


def known_secrets(spec: LoopSpec, scope: Scope, kept: Sequence[str] = (), store: str | None = None) -> Secrets:
    """Values that must not be stored: those of variables whose name says so, wherever the loop gets them from, those of
    `auth`, those of every environment's `secrets`, and passwords within URLs, that of the `store` too. None is empty.
    `kept` are commands and the like that netra-loop itself prints.
    """
    found: dict[str, Secret] = {}
    label = f"the variable {STORE_VARIABLE}, password"
    of_store = [Secret(f"{label} {number}", one) for number, one in enumerate(passwords_of(store))]
    for secret in (*_all(spec, scope), *of_store):
        if secret.value:
            found.setdefault(secret.label, secret)
    return Secrets(tuple(found.values()), _words(spec, scope), (scope.session, *kept))


def withheld(spec: LoopSpec, scope: Scope, redactor: Redactor) -> dict[str, str | None]:
    """What the services are given that is a secret or holds one, by the place where the loop declares it; None where
    that is not known now, and so could not be given again by whoever starts a revision anew.
    """
    secret = _secret_references(spec)
    found: dict[str, str | None] = {}
    for service, about in spec.services.items():
        for name, text in about.env.items():
            value = _known_now(text, scope) if _is_known(text, scope) else None
            if (
                names_secret(name)
                or _refers_to_secrets(text, secret, spec)
                or redactor.text(value or "") != (value or "")
            ):
                found[f"services.{service}.env.{name}"] = value
        for number, word in enumerate(_command(about.command, scope)):
            if redactor.text(word) != word:
                found[f"services.{service}.command.{number}"] = word
    return found


def in_their_place_only(secrets: Secrets) -> list[str]:
    """The labels of the loop's own secrets that are hidden only where their name says so: elsewhere they would be found
    in innocent words. The process's other variables are left out: most have nothing to do with the loop.
    """
    found: dict[str, str] = {}  # a value that several places have is told of once
    for secret in secrets.in_their_place_only():
        if not secret.label.startswith("the variable "):
            found.setdefault(secret.value, secret.label)
    return sorted(found.values())


def _command(command: Command, scope: Scope) -> tuple[str, ...]:
    """The words of a command, as far as they are known from the start."""
    texts = (command,) if isinstance(command, str) else command
    if all(_is_known(text, scope) for text in texts):
        return scope.command(command)
    return () if isinstance(command, str) else tuple(_known_now(text, scope) for text in texts)


def _all(spec: LoopSpec, scope: Scope) -> Iterator[Secret]:
    yield from of_environment(scope.environ)
    for place, name, text in _variables(spec):
        value = _known_now(text, scope)
        if names_secret(name):
            yield Secret(f"{place}.{name}", value, (name,))
            yield from _written(f"{place}.{name}", (name,), text)
            yield from _within(f"{place}.{name}", text, scope)
        yield from of_urls(f"{place}.{name}", value or text)
        yield from _defaults(f"{place}.{name}", text)
    for label, names, text in _by_place(spec):
        yield Secret(label, _known_now(text, scope), names)
        yield from _written(label, names, text)
        yield from _within(label, text, scope)


def _variables(spec: LoopSpec) -> Iterator[tuple[str, str, str]]:
    places = {"vars": spec.vars, "tests.env": spec.tests.env if spec.tests else {}}
    places |= {f"services.{name}.env": service.env for name, service in spec.services.items()}
    for place, values in places.items():
        for name, text in values.items():
            yield place, name, text
    for name, service in spec.services.items():
        yield f"services.{name}", "url", service.url or ""
    for name, journey in spec.journeys.items():
        for step in journey.steps:
            for part in (step.connect, step.request):
                yield from (
                    (f"journeys.{name}", header, text) for header, text in (part.headers if part else {}).items()
                )


def _by_place(spec: LoopSpec) -> Iterator[tuple[str, tuple[str, ...], str]]:
    """What is a secret by where the loop file has it. Whichever environment is chosen, the file says those of all."""
    for place, way in enumerate(spec.auth):
        if way.jwt is not None:
            yield f"auth.{place}.jwt.secret", _references(way.jwt.secret), way.jwt.secret
        if way.bypass is not None:
            yield f"auth.{place}.bypass.key", (*_BYPASS_NAMES, *_references(way.bypass.key)), way.bypass.key
    for environment, about in spec.environments.items():
        for name, text in about.secrets.items():
            plain = name.partition(":")[0].rpartition("/")[2]
            yield f"environments.{environment}.secrets.{name}", (plain, *_references(text)), text


def _references(text: str) -> tuple[str, ...]:
    return tuple(reference.name.partition(".")[2] for reference in template.parse(text).references)


def _written(label: str, names: tuple[str, ...], text: str) -> Iterator[Secret]:
    """What the loop file itself says of a secret, beside references: a default, whether or not something takes its
    place now, and what looks like chance. Other literal parts, such as `Bearer `, are nobody's secret.
    """
    parts = template.parse(text).parts
    for number, part in enumerate(parts):
        if isinstance(part, str):
            if len(parts) > 1 and by_chance(part):
                yield Secret(f"{label}, part {number}", part, ())
        elif part.default:
            yield Secret(f"{label}, default {number}", part.default, names)


def _within(label: str, text: str, scope: Scope) -> Iterator[Secret]:
    """The one value that a secret such as `Bearer ${env.RAW}` is made of."""
    names = template.parse(text).names
    if len(names) == 1 and names[0].startswith(("env.", "vars.")):
        yield Secret(f"{label}, ${{{names[0]}}}", _known_now(f"${{{names[0]}}}", scope), (names[0].partition(".")[2],))


def _defaults(label: str, text: str) -> Iterator[Secret]:
    for reference in template.parse(text).references:
        name = reference.name.partition(".")[2]
        if reference.default and names_secret(name):
            yield Secret(f"{label}, default of {reference.name}", reference.default, (name,))


def _words(spec: LoopSpec, scope: Scope) -> frozenset[str]:
    """What the loop, its project and this machine have other uses for than as a secret."""
    secret = _secret_references(spec)
    said = [text for text in _innocent_texts(spec, secret) if not any(_leads_to(text, secret, spec))]
    names = [spec.name, scope.session, str(spec.path), str(spec.root_dir), *spec.environments, *spec.services]
    names += [tier.name for tier in spec.tiers] + [phase.name for phase in spec.phases] + [*spec.journeys]
    names += [name for _, name, _ in _variables(spec)]
    names += [scope.environ.get(name, "") for name in ("USER", "LOGNAME", "HOME", "HOSTNAME", "PWD")]
    names += [value for name, value in scope.environ.items() if "://" in value and not names_secret(name)]
    return words_of([*names, *(_known_now(text, scope) for text in said)])


def _innocent_texts(spec: LoopSpec, secret: AbstractSet[str]) -> Iterator[str]:
    for place, name, text in _variables(spec):
        if not names_secret(name) and f"{place}.{name}" not in secret:
            yield text
    for about in spec.environments.values():
        yield from (about.project, about.region, about.endpoint or "", *about.hosts)
    for service in spec.services.values():
        yield from (service.source, service.image or "", *service.labels.values())
        yield from (word for word in (*service.command, *service.entrypoint) if _MODULE.fullmatch(word))
    for way in spec.auth:
        yield way.jwt.subject if way.jwt is not None else ""
    yield from (*(spec.tests.paths if spec.tests is not None else ()),)


def _secret_references(spec: LoopSpec) -> frozenset[str]:
    """What secrets are made of alone, such as `env.E2E_BYPASS`, whatever its own name says; `vars.pw` and what that
    refers to.
    """
    texts = [text for _, name, text in _variables(spec) if names_secret(name)]
    texts += [text for _, _, text in _by_place(spec)]
    found: set[str] = set()
    while texts:
        names = template.parse(texts.pop()).names
        if len(names) == 1 and names[0] not in found:
            found |= {*names}
            root, _, rest = names[0].partition(".")
            texts += [spec.vars[rest]] if root == "vars" and rest in spec.vars else []
    return frozenset(found)


def _leads_to(text: str, secret: AbstractSet[str], spec: LoopSpec, depth: int = 0) -> Iterator[bool]:
    """Whether any reference in `text` is a secret, or leads to one through the loop's variables."""
    for name in template.parse(text).names:
        root, _, rest = name.partition(".")
        yield name in secret or names_secret(rest)
        if root == "vars" and rest in spec.vars and depth < _DEEPEST:
            yield from _leads_to(spec.vars[rest], secret, spec, depth + 1)


def _refers_to_secrets(text: str, secret: AbstractSet[str], spec: LoopSpec) -> bool:
    return any(_leads_to(text, secret, spec)) or "auth.token" in template.parse(text).names


def _is_known(text: str, scope: Scope) -> bool:
    """Whether all that `text` refers to is known from the start and set."""
    return all(
        reference.name.startswith(_KNOWN_FROM_THE_START)
        and (reference.default is not None or _is_set(reference.name, scope))
        for reference in template.parse(text).references
    )


def _known_now(text: str, scope: Scope) -> str:
    """What `text` will be filled in with, where that is known from the start; else empty, and whatever uses it says
    what is missing.
    """
    return scope.text(text) if _is_known(text, scope) else ""


def _is_set(name: str, scope: Scope) -> bool:
    root, _, rest = name.partition(".")
    if root == "env":
        return rest in scope.environ
    if root == "vars":
        return rest in scope.spec.vars and _is_known(scope.spec.vars[rest], scope)
    return scope.lookup(name) is not None
