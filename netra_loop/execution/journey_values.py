"""Values in a journey, decided without I/O: what contains what, dotted paths, how a value is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

Render = Callable[[Any, Mapping[str, str]], Any]

SHOWN_MAX = 300
_PLAIN = re.compile(r"[A-Za-z_][\w./-]*")
_SAVED_ALONE = re.compile(r"\$\{saved\.([\w-]+)\}")


def contains(actual: Any, expected: Any) -> bool:
    """Whether `actual` holds everything that `expected` says.

    A mapping holds each key with a value that contains the expected one; a list is equal, or each expected element is
    contained by one of its own; anything else is equal as JSON is: `1` is `1.0`, but never `true`.
    """
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            key in actual and contains(actual[key], value) for key, value in expected.items()
        )
    if isinstance(expected, list | tuple):
        return isinstance(actual, list) and all(any(contains(own, value) for own in actual) for value in expected)
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return bool(expected == actual)


def dig(value: Any, path: str) -> Any:
    """What lies at a dotted path such as `data.items.0.id` or `items[-1].id`.

    Raises LookupError, saying how far the path led and what was there instead.
    """
    walked: list[str] = []
    for key in (part for part in re.split(r"[.\[\]]", path) if part):
        place = f"at {'.'.join(walked)!r}" if walked else "at its top"
        if isinstance(value, dict):
            if key not in value:
                raise LookupError(f"no {key!r} {place}, only {show(sorted(map(str, value)))}")
            value = value[key]
        elif isinstance(value, list):
            try:
                value = value[int(key)]
            except ValueError:
                raise LookupError(f"a list {place}, expected an index instead of {key!r}") from None
            except IndexError:
                raise LookupError(f"only {len(value)} elements {place}, expected an element {key}") from None
        else:
            raise LookupError(f"no {key!r} {place}, but {show(value)}")  # noqa: TRY004 - the path's fault, not the type's
        walked.append(key)
    return value


def as_text(value: Any) -> str:
    """A saved value as `${saved.name}` puts it into a text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def fill(value: Any, saved: Mapping[str, Any], render: Render) -> Any:
    """`value` with every `${…}` in it filled by `render`.

    A text that is nothing but one `${saved.name}` becomes the saved value itself, so that a number stays a number.
    """
    texts = {name: as_text(own) for name, own in saved.items()}

    def walk(part: Any) -> Any:
        if isinstance(part, dict):
            return {walk(key): walk(item) for key, item in part.items()}
        if isinstance(part, list | tuple):
            return [walk(item) for item in part]
        if not isinstance(part, str):
            return part
        alone = _SAVED_ALONE.fullmatch(part)
        if alone is not None and alone[1] in saved:
            return saved[alone[1]]
        return render(part, texts)

    return walk(value)


def show(value: Any) -> str:
    """A value on one line as YAML's flow style would have it, at most 300 characters: `{type: agent_thinking}`."""
    text = _flow(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_flow(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in {"true", "false", "null"}:
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def seconds(value: float) -> str:
    """A duration as people say it: `10 s`, `0.25 s`."""
    return f"{value:g} s"
