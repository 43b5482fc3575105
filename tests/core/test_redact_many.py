"""Tests of redacting many values: the same as one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.redact import Redactor
from netra_loop.core.redact_many import redact_many

REDACTOR = Redactor(["open-sesame", "line one\nline two and more"])
SECRETS = st.sampled_from(
    [
        *("open-sesame", "a open-sesame b", "Bearer abcdefghij0123456789klmn", "password=hunter22", "TOKEN:\tabcdef"),
        *("https://me:pw@host/", "?ticket=abc", "line one\nline two and more", "-----BEGIN RSA PRIVATE KEY-----\nabc"),
        *(
            "eyJabcdef.ghijklmno.x",
            "it's",
            'say "hi"',
            "back\\slash",
            "café",
            "cookie: a=b",
            "sk-abcdefghijklmnopqrstuvw",
        ),
    ]
)
TEXTS = st.one_of(SECRETS, st.text(max_size=12))
KEYS = st.one_of(st.sampled_from(["token", "db_password", "Authorization", "cookie", "message", "a"]), TEXTS)
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.lists(st.tuples(TEXTS, VALUES), max_size=8))
def test_together_as_one_by_one(values):
    assert redact_many(REDACTOR, values) == [REDACTOR.deep(value) for value in values]


def test_what_holds_no_secret_is_the_very_same():
    values = [("hello", {"a": [1, "x"]}, None) for _ in range(100)]
    assert all(new is old for new, old in zip(redact_many(REDACTOR, values), values, strict=True))


def test_one_secret_among_many_is_found():
    values = [("hello", {"n": n, "said": "open-sesame" if n == 77 else "x"}) for n in range(100)]
    changed = [
        n for n, (new, old) in enumerate(zip(redact_many(REDACTOR, values), values, strict=True)) if new is not old
    ]
    assert changed == [77]
