from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.urls import asked_of, path_of

PARTS = st.sampled_from(
    [
        "http://",
        "https://",
        "HTTP://",
        "//",
        "a",
        "a.b:8080",
        "[::1]",
        "/",
        "?",
        "#",
        "&x=1",
        "%20",
        " ",
        "\t",
        "\n",
        "é",
        ";",
        "@",
        "\0",
        "\x1f",
    ]
)


@given(st.lists(PARTS, max_size=9).map("".join))
def test_what_is_asked_is_what_urlsplit_says(url: str) -> None:
    try:
        split = urlsplit(url)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            asked_of(url)
        return
    assert asked_of(url) == (split.path, split.query)


@pytest.mark.parametrize(
    ("url", "path"),
    [("https://host", ""), ("https://host/", "/"), ("http://host:8080/a/b?c=/d#/e", "/a/b"), ("/a?b", "/a"), ("", "")],
)
def test_the_path_alone(url: str, path: str) -> None:
    assert path_of(url) == path
