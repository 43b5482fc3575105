"""What a URL asks for, told quickly: requests are logged by the hundred thousand."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_PLAIN = re.compile(
    r"https?://[A-Za-z0-9.:-]*(/[^?#\s\[\]]*)?(?:\?([^#\s\[\]]*))?"
)  # nothing here asks for a closer look


def path_of(url: str) -> str:
    """`urlsplit(url).path`."""
    return asked_of(url)[0]


def asked_of(url: str) -> tuple[str, str]:
    """Path and query, as `urlsplit` has them. ValueError for what is no URL."""
    found = _PLAIN.fullmatch(url)
    if found is None:
        split = urlsplit(url)
        return split.path, split.query
    path, query = found.groups("")
    return path, query
