from pathlib import Path
from typing import Any, Literal

import pytest

from netra_loop.core.model import Model, field


class Leaf(Model):
    port: int = 8080
    period_s: float = 1.0


class Tree(Model):
    name: str
    kind: Literal["big", "small"] = "small"
    where: Path | None = None
    command: str | tuple[str, ...] = ()
    leaf: Leaf = Leaf()
    leaves: tuple[Leaf, ...] = ()
    by_name: dict[str, Leaf] = field(default_factory=dict)
    anything: Any = None


PLAIN = {
    "name": "oak",
    "kind": "big",
    "where": "/x",
    "command": ["a", "b"],
    "leaf": {"port": 1, "period_s": 2},
    "leaves": [{"port": 3}],
    "by_name": {"one": {}},
    "anything": [1, {"a": None}],
}


def test_plain_values_become_what_the_fields_types_say():
    tree = Tree.model_validate(PLAIN)
    assert tree == Tree(
        name="oak",
        kind="big",
        where=Path("/x"),
        command=("a", "b"),
        leaf=Leaf(port=1, period_s=2.0),
        leaves=(Leaf(port=3),),
        by_name={"one": Leaf()},
        anything=[1, {"a": None}],
    )
    assert type(tree.leaf.period_s) is float


def test_what_is_dumped_describes_the_same():
    tree = Tree.model_validate(PLAIN)
    assert Tree.model_validate(tree.model_dump()) == tree
    assert tree.model_dump(include={"name", "leaf"}, exclude={"name"}) == {"leaf": {"port": 1, "period_s": 2.0}}
    assert Leaf(period_s=30).model_dump_json() == '{"port":8080,"period_s":30.0}'
    assert tree.model_dump_json().startswith('{"name":"oak","kind":"big","where":"/x","command":["a","b"],')


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "huge"},
        {"name": 1},
        {"command": ["a", 1]},
        {"leaf": {"port": "1"}},
        {"leaf": {"port": True}},
        {"leaf": None},
        {"leaves": [{"depth": 1}]},
        {"where": 7},
        {"colour": "green"},
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused(wrong):
    with pytest.raises(TypeError):
        Tree.model_validate({"name": "oak", **wrong})


def test_a_field_without_a_default_is_needed():
    with pytest.raises(TypeError, match="Tree needs name"):
        Tree.model_validate({})


def test_a_copy_differs_where_it_was_told_to():
    tree = Tree(name="oak")
    copied = tree.model_copy(update={"kind": "big"})
    assert (tree.kind, copied.kind, copied.name) == ("small", "big", "oak")
    assert (tree.model_fields_set, copied.model_fields_set) == ({"name"}, {"name", "kind"})


def test_it_is_frozen_and_no_default_is_shared():
    tree, other = Tree(name="oak"), Tree(name="oak")
    with pytest.raises(AttributeError):
        tree.name = "elm"
    with pytest.raises(AttributeError):
        del tree.name
    tree.by_name["one"] = Leaf()
    assert other.by_name == {}


def test_equal_ones_are_one_in_a_set():
    assert len({Leaf(port=1), Leaf(port=1), Leaf(port=2)}) == 2
    assert Leaf() != Tree(name="oak")
