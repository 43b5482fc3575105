"""Which tests are cheaper one after the other in one worker, because a fixture wider than a test stays up between them.

Names are the agent's (`agent.sharing`): `NODE::@FIXTURE[N]`, where NODE is the class, module or package that an
instance lives as long as. The fixtures of one node that take no parameter make one `Element`, those with parameters
another one inside it. A test's *path* is its elements from the widest to the narrowest: tests with one path share all
of it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WORTH_S = 0.01  # a set-up known to be quicker than this is repeated rather than kept in mind

_MADE_BY_PYTEST = re.compile(r"_(?:xunit|unittest)_(setup_module|setup_class|setUpClass)_fixture_.*")


@dataclass(frozen=True, slots=True)
class Element:
    """Fixtures that live and end together. `cost_s` is what it takes to set them up and tear them down; None: not
    known.
    """

    name: str
    cost_s: float | None
    label: str


Path = tuple[Element, ...]


def paths(shares: Sequence[Sequence[str]], costs: Mapping[str, float]) -> list[Path]:
    """The path of each test, given the names of what it shares. Only what two tests share, and is not known to be too
    quick to matter, is in a path.
    """
    if not any(shares):
        return [()] * len(shares)
    alike = Counter(map(tuple, shares))
    used: Counter[str] = Counter()
    for names, times in alike.items():
        for name in set(names):
            used[name] += times
    worthy = {name for name, times in used.items() if times > 1 and costs.get(name, WORTH_S) >= WORTH_S}
    places = {name: _place(name) for name in worthy}
    members: dict[tuple[str, str], set[str]] = defaultdict(set)
    elements_of = {names: _elements(names, places) for names in alike}
    for elements in elements_of.values():
        for place, held in elements.items():
            members[place].update(held)
    made = {place: _element(place, sorted(held), costs) for place, held in members.items()}
    path_of = {
        names: tuple(made[place] for place in sorted(elements, key=_wide_first))
        for names, elements in elements_of.items()
    }
    return [path_of[tuple(names)] for names in shares]


def _place(name: str) -> tuple[str, str]:
    """The node and, for an instance of a parameter, which one it is."""
    node, _, fixture = name.rpartition("::@")
    return node, fixture if fixture.endswith("]") else ""


def _wide_first(place: tuple[str, str]) -> tuple[int, str, bool, str]:
    node, parameter = place  # all nodes of one test hold each other, so that the shorter id is the wider one
    return len(node), node, bool(parameter), parameter


def _elements(names: Sequence[str], places: Mapping[str, tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Which of a test's fixtures belong to which element. All parameters of a node are one element."""
    nodes: dict[str, list[str]] = defaultdict(list)
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(set(names)):
        if name not in places:
            continue
        node, parameter = places[name]
        if parameter:
            nodes[node].append(name)
        else:
            found[node, ""].append(name)
    for node, held in nodes.items():
        found[node, " ".join(places[name][1] for name in held)] = held
    return found


def _element(place: tuple[str, str], names: Sequence[str], costs: Mapping[str, float]) -> Element:
    known = [costs[name] for name in names if name in costs]
    node = place[0]
    scope = "class" if "::" in node else "module" if node.endswith(".py") else "package"
    dearest = sorted(names, key=lambda name: -costs.get(name, 0.0))
    told = [_MADE_BY_PYTEST.sub(r"\1", name.rpartition("::@")[2]) for name in dearest]
    more = f" and {len(told) - 2} more" if len(told) > 2 else ""
    label = f"{scope} fixture{'s' if len(told) > 1 else ''} {', '.join(told[:2])}{more}"
    return Element("\0".join(place), sum(known) if known else None, label)
