"""Tests of values that are never written: labels in files, values out of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.cloud.embedded.withheld import Withheld

VALUES = {"env.A": "open-sesame", "env.B": "demo", "env.C": "open-sesame-and-more"}
TEXTS = st.one_of(st.sampled_from([*VALUES.values(), "x open-sesame y", "", "a"]), st.text(max_size=12))
JSON = st.recursive(
    TEXTS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "labels", "command"]), inner, max_size=3),
        st.fixed_dictionaries({"name": TEXTS, "value": TEXTS}),
    ),
    max_leaves=6,
)


@given(JSON)
def test_what_comes_back_is_what_went_in_and_no_value_was_written(value):
    written = Withheld(VALUES).out_of(value)
    assert "open-sesame" not in str(written)
    assert Withheld(VALUES).back_into(written) == value


def test_a_variable_has_the_value_that_its_label_has_today():
    written = Withheld({"env.A": "yesterday's", "env.B": "gone-by-now"}).out_of(
        [{"name": "A", "value": "yesterday's"}, {"name": "U", "value": "http://me:gone-by-now@host"}]
    )
    assert Withheld({"env.A": "today's"}).back_into(written) == [
        {"name": "A", "value": "today's"},
        {"name": "U", "value": "http://me:[redacted]@host"},
    ]


def test_a_short_value_is_kept_out_where_it_is_all_of_a_variable():
    about = {"name": "B", "value": "demo", "project": "demo"}
    written = Withheld(VALUES).out_of(about)
    assert written == {"name": "B", "value": "[netra-loop keeps: env.B]", "project": "demo"}


def test_a_variable_that_only_holds_a_secret_is_kept_out_whole():
    withheld = Withheld({}, {"services.a.env.X": "b64:b3Blbi1zZXNhbWU="})
    (written,) = withheld.out_of([{"name": "X", "value": "b64:b3Blbi1zZXNhbWU="}])
    assert written["value"] == "[netra-loop keeps: services.a.env.X]"
    assert withheld.back_into([written]) == [{"name": "X", "value": "b64:b3Blbi1zZXNhbWU="}]
    assert withheld.redactor is None
