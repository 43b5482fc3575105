"""`${…}` in loop files: what may stand there, and filling it in.

The grammar is closed: `env.NAME`, `env.NAME:-default`, `vars.NAME`, `environment.NAME`, `services.NAME.url` (also
`ws_url` and `revision`), `auth.token`, `git.sha` (also `short_sha` and `branch`), `session.id`, `iteration`, and
`saved.NAME` inside journeys. `$$` is a dollar; a dollar before anything but `$` or `{` stands for itself. What is
filled in is never read again, so a value that holds `${…}` does nothing. A default is literal text without `}`; as in a
shell it is taken where the variable is unset or empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from itertools import groupby
from typing import Any

from netra_loop.core.shell_quoting import Quoting
from netra_loop.errors import UsageError
from netra_loop.values import dataclass

Scope = Mapping[str, Any] | Callable[[str], str | None]
"""Where values come from: nested mappings (`{"vars": {"user": …}}`), one keyed by the whole name (`{"vars.user": …}`),
or a function from the whole name to the value. None, or no entry, means not set."""

FIXED: Mapping[str, tuple[str, ...]] = {"auth": ("token",), "git": ("sha", "short_sha", "branch"), "session": ("id",)}
SERVICE_PARTS = ("url", "ws_url", "revision")
ALONE = ("iteration", "image", "source")  # names without parts
ROOTS = ("env", "vars", "environment", "services", "auth", "git", "session", "saved", *ALONE)

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]*")
_TOKEN = re.compile(r"\$\$|\$\{")


class TemplateError(UsageError):
    """`${…}` that means nothing. `offset` counts characters of the text; `suggestion` is the name that was meant."""

    def __init__(self, message: str, offset: int, *, suggestion: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.message = message
        self.offset = offset
        self.suggestion = suggestion


@dataclass(frozen=True)
class Reference:
    """One `${name}` or `${name:-default}`; `offset` is where its dollar stands."""

    name: str
    default: str | None
    offset: int

    def __str__(self) -> str:
        return "${" + self.name + ("" if self.default is None else f":-{self.default}") + "}"


@dataclass(frozen=True)
class Template:
    """A parsed text: literal pieces (`$$` already a dollar) and references, in order."""

    text: str
    parts: tuple[str | Reference, ...]

    @property
    def references(self) -> tuple[Reference, ...]:
        """The references in order, repetitions included."""
        return tuple(part for part in self.parts if isinstance(part, Reference))

    @property
    def names(self) -> tuple[str, ...]:
        """The names referred to, each once, in order of first use."""
        return tuple(dict.fromkeys(reference.name for reference in self.references))


@lru_cache(maxsize=1024)
def parse(text: str) -> Template:
    """`text` taken apart. Raises TemplateError where a `${` is not closed or names nothing there could be."""
    parsed, errors = scan(text)
    if errors:
        raise errors[0]
    return parsed


def scan(text: str) -> tuple[Template, tuple[TemplateError, ...]]:
    """The same with every error instead of the first; the template then lacks the references that mean nothing."""
    parts: list[str | Reference] = []
    errors: list[TemplateError] = []
    at = 0
    while (match := _TOKEN.search(text, at)) is not None:
        parts.append(text[at : match.start()])
        at = match.end()
        if match.group() == "$$":
            parts.append("$")
            continue
        end = text.find("}", at)
        if end < 0:
            hint = "close it with }, or write $${ for a dollar"
            errors.append(TemplateError("'${' is never closed", match.start(), hint=hint))
            break
        try:
            parts.append(_reference(text[at:end], match.start()))
        except TemplateError as error:
            errors.append(error)
        at = end + 1
    parts.append(text[at:])
    return Template(text, tuple(_joined(parts))), tuple(errors)


def _joined(parts: list[str | Reference]) -> Iterator[str | Reference]:
    """Neighbouring literals as one: a shell sees them so, and `Quoting` has to."""
    for literal, group in groupby(parts, key=lambda part: isinstance(part, str)):
        if literal:
            text = "".join(str(part) for part in group)
            if text:
                yield text
        else:
            yield from group


def escape(text: str) -> str:
    """`text` spelled so that rendering gives it back as it is, whatever dollars it holds."""
    return re.sub(r"\$(?=[${])", "$$", text)


def render(text: str, scope: Scope, *, where: str | None = None) -> str:
    """`text` with everything filled in. `where` names the place in the loop file for the message.

    Raises UsageError where a variable without default is not set, TemplateError where `text` cannot be parsed.
    """
    return "".join(
        part if isinstance(part, str) else _value(part, scope, where or str(part)) for part in parse(text).parts
    )


def render_shell(text: str, scope: Scope, *, where: str | None = None) -> str:
    """A command for `sh -c`: each value filled in as one literal word or part of one, whatever quotes it stands in.

    Raises as `render` does, and TemplateError where the shell has no safe way to take a value (see `check_shell`).
    """
    quoting = Quoting()
    done = []
    for part in parse(text).parts:
        if isinstance(part, str):
            quoting.feed(part)
            done.append(part)
        else:
            why = quoting.refusal
            if why is not None:
                raise _unsafe(part, why)
            done.append(quoting.quote(_value(part, scope, where or str(part))))
            quoting.feed_word()
    return "".join(done)


def check_shell(text: str) -> tuple[TemplateError, ...]:
    """What `render_shell` would raise for a text that can be parsed, told before any value is known."""
    try:
        render_shell(text, lambda _: "")
    except TemplateError as error:
        return (error,)
    return ()


def render_any(value: Any, scope: Scope, *, where: str | None = None) -> Any:
    """The same for every text within lists and mappings, keys left alone; anything else comes back as it is."""
    if isinstance(value, str):
        return render(value, scope, where=where)
    if isinstance(value, Mapping):
        return {key: render_any(item, scope, where=f"{where}.{key}" if where else None) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [
            render_any(item, scope, where=f"{where}[{index}]" if where else None) for index, item in enumerate(value)
        ]
        return items if isinstance(value, list) else tuple(items)
    return value


def _reference(inside: str, offset: int) -> Reference:
    name, marked, default = inside.partition(":-")
    if "${" in inside:
        raise TemplateError("'${' inside '${…}': a default is plain text", offset)
    root, _, rest = name.partition(".")
    if marked and root != "env":
        raise TemplateError(f"only env variables take a default, found {_clip(inside)}", offset)
    if root not in ROOTS:
        raise TemplateError(
            f"unknown variable {_clip(name)}, expected one that begins with {', '.join(ROOTS)}",
            offset,
            suggestion=closest(root, ROOTS),
            hint=f"for a variable of the shell write $${{{root}}}" if _NAME.fullmatch(name) else None,
        )
    problem = _problem_of(root, rest, dotted="." in name)
    if problem is not None:
        message, suggestion = problem
        raise TemplateError(f"{message}, found {_clip(name)}", offset, suggestion=suggestion)
    return Reference(name, default if marked else None, offset)


def _problem_of(root: str, rest: str, *, dotted: bool) -> tuple[str, str | None] | None:
    if root in ALONE:
        return (f"expected {root} alone", None) if dotted else None
    if root in FIXED:
        if rest in FIXED[root]:
            return None
        meant = closest(rest, FIXED[root])
        return f"expected {' or '.join(f'{root}.{name}' for name in FIXED[root])}", meant and f"{root}.{meant}"
    if root == "services":
        name, _, part = rest.rpartition(".")
        if not _NAME.fullmatch(name):
            return f"expected services.NAME.{'|'.join(SERVICE_PARTS)}", None
        meant = closest(part, SERVICE_PARTS)
        wrong = (f"expected services.{name}.{'|'.join(SERVICE_PARTS)}", meant and f"services.{name}.{meant}")
        return None if part in SERVICE_PARTS else wrong
    return None if _NAME.fullmatch(rest) else (f"expected {root}.NAME", None)


def closest(word: str, known: tuple[str, ...]) -> str | None:
    """The one of `known` that `word` was probably meant to be; None where nothing is near."""
    return next(iter(get_close_matches(word, known, n=1)), None) if len(word) < 100 else None


def _value(reference: Reference, scope: Scope, where: str) -> str:
    value = scope(reference.name) if callable(scope) else _look_up(reference.name, scope)
    if reference.default is not None and value in {None, ""}:
        return reference.default
    if value is not None:
        return value
    root, _, rest = reference.name.partition(".")
    if root == "env":
        raise UsageError(
            f"the environment variable {rest!r} is not set, used at {where}",
            hint=f"export {rest}=…, or give a default in the loop file: ${{env.{rest}:-default}}",
        )
    raise UsageError(f"${{{reference.name}}} has no value here, used at {where}", hint=_HINTS.get(root))


_HINTS = {
    "vars": "give it with --var NAME=VALUE, or under vars in the loop file",
    "services": "put a phase that uses deploy or attach before this one, or give the service a url",
    "auth": "none of the ways under auth gave a token: netra-loop doctor",
    "git": "the loop file does not lie in a git repository with a commit",
    "saved": "save it in an earlier request of the same journey",
}


def _look_up(name: str, scope: Mapping[str, Any]) -> str | None:
    found: Any = scope.get(name)
    if found is None:
        found = scope
        for key in name.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
    if found is None or isinstance(found, Mapping):
        return None
    return str(found).lower() if isinstance(found, bool) else str(found)


def _unsafe(reference: Reference, why: str) -> TemplateError:
    return TemplateError(
        f"{reference} stands {why}, where the shell cannot take a value safely",
        reference.offset,
        hint="write the command as a list, or let a script read the value from its arguments",
    )


def _clip(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
