"""Tests of what tests are called in a process that does not know what the one before it knew."""

from __future__ import annotations

from netra_loop.core.redact import Redactor
from netra_loop.core.shown_names import ShownNames

NAMES = ["a.py::t[open-sesame-1-x]", "a.py::t[open-sesame-2-x]", "a.py::t[plain-x]", "b.py::u[open-sesame-1]"]
SECRETS = ["open-sesame-1", "open-sesame-2"]


def shown(names: ShownNames, real: list[str]) -> list[str]:
    names.look(real)
    return [names.shown(name) for name in real]


def first(secrets: list[str] = SECRETS) -> list[str]:
    return shown(ShownNames("s-1", lambda: Redactor(secrets)), NAMES)


def test_a_secret_that_nobody_tells_of_any_more_changes_no_name_and_is_found_out():
    learnt: list[str] = []
    names = ShownNames("s-1", lambda: Redactor(learnt), first()[:3], learnt.append)
    assert shown(names, [*NAMES, "c.py::v[open-sesame-2]"])[:4] == first()  # that of b.py, too, which was not chosen
    assert names.shown("c.py::v[open-sesame-2]").startswith("c.py::v[[redacted]] #")
    assert learnt == SECRETS
    assert [names.real(name) for name in first()] == NAMES


def test_a_secret_that_was_not_known_then_changes_no_name_either():
    assert first([]) == NAMES
    assert shown(ShownNames("s-1", lambda: Redactor(SECRETS), NAMES), NAMES) == NAMES


def test_names_of_another_session_or_of_other_tests_are_not_taken_for_these():
    learnt: list[str] = []
    names = ShownNames("s-2", Redactor, first(), learnt.append)
    assert shown(names, NAMES) == NAMES
    names = ShownNames("s-1", Redactor, ["a.py::t[[redacted]-y] #0000"], learnt.append)
    assert shown(names, NAMES) == NAMES
    assert learnt == []


def test_those_whose_digests_are_alike_are_told_apart_as_before():
    many = [f"a.py::t[open-sesame-1 {'x' * (number % 7)}{number}-open-sesame-2]" for number in range(400)]
    secrets = [name[8:-1] for name in many]
    before = shown(ShownNames("s-1", lambda: Redactor(secrets)), many)
    assert any(".2" in name.rpartition("#")[2] for name in before)  # of 400, that some are is as good as sure
    assert len({*before}) == len(many)
    assert shown(ShownNames("s-1", Redactor, before), many[::-1])[::-1] == before
