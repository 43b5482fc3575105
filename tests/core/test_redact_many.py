"""Tests of redacting many values: the same as one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core.redact import Redactor
from netra_loop.core.redact_many import holds_none, redact_many

KEY_LINE = "eUK98iEG8IR3YvDzy012TccHIFEVmg+J8sbayuNEuzESRf1vhN+a18Wz0HasDo9T"  # of a private key that came line by line
REDACTOR = Redactor(["open-sesame", "line one\nline two and more"], [("PIN", "4711")], ["kept-session-0123456789"])
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
            KEY_LINE,
            f"of {KEY_LINE}",
            "PIN=4711",
            "kept-session-0123456789",
            "?token=kept-session-0123456789",
            "?a=b&amp;State=Abcdefghijklmnopqrst0",
            "?X-Goog-Signature=1",
            "-----END RSA PRIVATE KEY-----",
        ),
    ]
)
TEXTS = st.one_of(SECRETS, st.text(max_size=12))
KEYS = st.one_of(
    st.sampled_from(["token", "db_password", "Authorization", "cookie", "message", "a", "name", "key", "PIN"]), TEXTS
)
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)


@given(st.lists(st.one_of(st.tuples(TEXTS, VALUES), st.tuples(TEXTS, VALUES, VALUES)), max_size=8))
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


def test_a_line_of_a_key_is_hidden_though_it_came_by_itself():
    values = [(KEY_LINE, None, None), ("hello", {"said": KEY_LINE}, None), (f"x{KEY_LINE}", None, None)]
    assert redact_many(REDACTOR, values) == [
        ("[redacted]", None, None),
        ("hello", {"said": "[redacted]"}, None),
        values[2],
    ]


def test_of_what_was_written_down_nobody_is_sure_where_a_line_of_a_key_may_be_in_it():
    assert holds_none(REDACTOR, repr({"said": KEY_LINE[1:]}))
    assert not holds_none(REDACTOR, repr({"said": KEY_LINE}))
