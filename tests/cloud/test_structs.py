from __future__ import annotations

from typing import Any

from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct, Value
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.cloud.structs import asked, struct_of

TEXTS = st.one_of(st.text(max_size=300), st.integers(0, 40_000).map("x".__mul__))
VALUES = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def struct(values: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(values)
    return made


@given(st.dictionaries(TEXTS, VALUES, max_size=6))
def test_a_struct_comes_back_as_the_values_it_was_made_of(values: dict[str, Any]) -> None:
    made = struct(values)
    assert struct_of(made) == values
    assert asked(made) == values


def test_numbers_are_floats_and_values_keep_their_kind() -> None:
    found = struct_of(
        struct({"n": 1, "zero": 0.0, "yes": True, "no": False, "none": None, "empty": "", "e": [], "d": {}})
    )
    assert found == {"n": 1.0, "zero": 0.0, "yes": True, "no": False, "none": None, "empty": "", "e": [], "d": {}}
    assert [type(found[name]) for name in ("n", "zero", "yes", "no")] == [float, float, bool, bool]


def test_a_value_without_a_kind_is_none() -> None:
    made = Struct()
    made.fields["nothing"].CopyFrom(Value())
    assert struct_of(made) == {"nothing": None}


def test_what_a_later_protobuf_adds_to_a_value_does_not_stand_in_the_way() -> None:
    known = struct({"a": "b", "deep": {"c": [1, "d"]}})
    unknown = Value.FromString(Value(string_value="said").SerializeToString() + b"\xfa\x01\x03new")
    known.fields["more"].CopyFrom(unknown)
    beside = Struct.FromString(known.SerializeToString() + b"\x1a\x03new")
    assert struct_of(beside) == {"a": "b", "deep": {"c": [1.0, "d"]}, "more": "said"}
    assert struct_of(ParseDict({"a": [{"b": []}]}, Struct())) == {"a": [{"b": []}]}
