from __future__ import annotations

from typing import Any

import pytest

from netra_loop.execution.journey_values import contains, dig, fill, show


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ({"a": 1, "b": {"c": [1, 2]}}, {"b": {"c": [1, 2]}}),
        ({"items": [{"id": 1, "x": 2}, {"id": 2}]}, {"items": [{"id": 2}]}),
        ({"n": 1}, {"n": 1.0}),
        ({"n": None}, {"n": None}),
        ({}, {}),
    ],
)
def test_contains(actual: Any, expected: Any) -> None:
    assert contains(actual, expected)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": True}, {"a": 1}),
        ({"a": 1}, {"b": 1}),
        ({"a": "1"}, {"a": 1}),
        ({}, {"a": None}),
        ([{"a": 1}], {"a": 1}),
        ({"items": [1]}, {"items": [1, 2]}),
        (None, {}),
    ],
)
def test_contains_not(actual: Any, expected: Any) -> None:
    assert not contains(actual, expected)


@pytest.mark.parametrize("path", ["data.items.1.id", "data.items[1].id", "data.items[-1].id"])
def test_dig(path: str) -> None:
    assert dig({"data": {"items": [{"id": 1}, {"id": 2}]}}, path) == 2


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("b", "no 'b' at its top, only [a]"),
        ("a.9", "only 1 elements at 'a', expected an element 9"),
        ("a.x", "a list at 'a', expected an index instead of 'x'"),
        ("a.0.x", "no 'x' at 'a.0', but 5"),
    ],
)
def test_dig_says_how_far_it_got(path: str, told: str) -> None:
    with pytest.raises(LookupError) as error:
        dig({"a": [5]}, path)
    assert error.value.args[0] == told


def test_a_saved_value_alone_keeps_its_type() -> None:
    filled = fill(
        {"n": "${saved.n}", "t": ["id-${saved.n}"]}, {"n": 7}, lambda v, saved: v.replace("${saved.n}", saved["n"])
    )
    assert filled == {"n": 7, "t": ["id-7"]}


def test_show_reads_like_yaml_and_is_bounded() -> None:
    assert (
        show({"type": "agent_thinking", "ok": True, "text": "a: b"}) == '{type: agent_thinking, ok: true, text: "a: b"}'
    )
    assert len(show("x y" * 1000)) == 300
