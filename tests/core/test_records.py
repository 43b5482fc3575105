from dataclasses import FrozenInstanceError, fields, replace

import pytest

from netra_loop.core.records import Evidence, LogEntry, Outcome, Result
from netra_loop.testing.rows import T0, entry, result


@pytest.mark.parametrize("made", [result(), entry()])
def test_a_row_is_as_frozen_as_if_the_library_had_made_it(made: Result | LogEntry):
    for one in fields(made):
        with pytest.raises(FrozenInstanceError):
            setattr(made, one.name, None)
    assert {made: 1}[replace(made)] == 1


def test_every_field_of_a_result_is_taken_by_its_place():
    names = [one.name for one in fields(Result)]
    made = Result(*names)  # type: ignore[arg-type]
    assert [getattr(made, name) for name in names] == names
    assert made == Result(**dict(zip(names, names, strict=True)))  # type: ignore[arg-type]


def test_what_a_result_is_not_given_is_what_the_fields_say():
    bare = Result("test_a", None, 1, 1, Outcome.PASSED, 0.25, T0, "gw0", None, "0" * 32)
    told = {one.name: one.default for one in fields(Result)[10:]}
    assert {name: getattr(bare, name) for name in told} == told
    assert bare.evidence == Evidence()
