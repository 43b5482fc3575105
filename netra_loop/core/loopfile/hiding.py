"""A loop file's text without the secrets that are written in it: what is stored of it.

It stays a loop file that can be read, and says the same of all that is no secret: values are replaced where they stand,
references such as `${env.API_KEY}` are left alone, and so is whatever gives the loop its shape.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import yaml

from netra_loop.core.redact import MARK, Redactor
from netra_loop.core.secret_names import names_secret
from netra_loop.core.secret_shapes import speaks_of_secrets
from netra_loop.core.secret_values import by_chance

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # only composes: nothing is constructed
_REFERENCE = re.compile(r"(\$\{[^}]*\})")
_COMMENT = re.compile(r"#[^\n]*")
_SHAPE = frozenset(
    {"version", "name", "tiers", "stages", "goal", "limits", "uses", "next", "tier", "cloud", "root", "save"}
)
_Path = tuple[str, ...]
_PROPERTIES = re.compile(r"(?:[&!]\S*\s+)*")  # an anchor and a tag, which stand before their value


def hidden_text(text: str, redactor: Redactor) -> str:
    """`text`, which must be a readable loop file, with every secret in it hidden; the very same where there is none."""
    parts: list[str] = []
    done = 0
    for node, path in sorted(_values(text), key=lambda found: found[0].start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        if start < done:
            continue
        new = _hidden(str(node.value), path, redactor)
        parts.append(_between(text[done:start], redactor))
        parts.append(text[start:end] if new == node.value else _written(new, text[start:end]))
        done = end
    parts.append(_between(text[done:], redactor))
    return "".join(parts)


def _values(text: str) -> Iterator[tuple[yaml.ScalarNode, _Path]]:
    """Every text that may be a secret, with the keys it stands under."""
    waiting: list[tuple[yaml.Node | None, _Path]] = [(yaml.compose(text, Loader=_LOADER), ())]
    seen: set[int] = set()
    while waiting:
        node, path = waiting.pop()
        if node is None or id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            yield node, path
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(item, path) for item in node.value]
        elif isinstance(node, yaml.MappingNode):
            under = [(value, str(name.value)) for name, value in node.value if name.value not in _SHAPE]
            of_service = path[:1] == ("services",)  # whose secrets are told by their names
            waiting += [(one, (*path, name)) for one, name in under if not (of_service and name == "secrets")]


def _hidden(value: str, path: _Path, redactor: Redactor) -> str:
    key = path[-1] if path else ""
    held = path[:1] == ("environments",) and path[2:3] == ("secrets",)  # of any environment, chosen or not
    secret = held or names_secret(key) or speaks_of_secrets(key)
    parts = _REFERENCE.split(value)
    for place, part in enumerate(parts):
        if part.startswith("${"):
            name, marked, default = part[2:-1].partition(":-")
            hide = secret or names_secret(name.partition(".")[2])
            new = default if not default else MARK if hide else redactor.text(default)
            parts[place] = "${" + name + marked + new + "}"
        elif part:
            alone = len(parts) == 1  # what stands beside a reference is `Bearer ` and the like
            parts[place] = MARK if secret and (alone or by_chance(part)) else redactor.text(part)
    return "".join(parts)


def _between(text: str, redactor: Redactor) -> str:
    """What stands around values: of it only comments can hold a secret."""
    return _COMMENT.sub(lambda found: redactor.text(found[0]), text) if "#" in text else text


def _written(new: str, before: str) -> str:
    """`new` in the place of what was written `before`, whose anchor it keeps. A block ends with a line's end."""
    properties = _PROPERTIES.match(before)
    quoted = json.dumps(new, ensure_ascii=False)
    return f"{properties[0] if properties else ''}{quoted}{chr(10) if before.endswith(chr(10)) else ''}"
