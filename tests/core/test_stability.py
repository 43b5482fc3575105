"""What passed before and does not now is told, whatever way it came to that."""

import pytest

from netra_loop.core.records import Authenticity, Outcome
from netra_loop.core.stability import Stood, weigh

PASS = Stood(2, Outcome.PASSED, "backend-00002")


def test_what_passed_and_fails_is_a_regression_that_blocks_unless_allowed(make):
    final = {"t": make.result(id="t", outcome=Outcome.TIMEOUT)}
    told = weigh(final, {"t": PASS}, ["t"], ["t"])
    assert told.regressed == {"t": PASS}
    assert told.reasons(allow_regressions=False) == ["1 test passed before and fails now: t"]
    assert told.reasons(allow_regressions=True) == []


def test_a_pass_that_became_fake_is_one_too(make):
    final = {"t": make.result(id="t", outcome=Outcome.PASSED, authenticity=Authenticity.FAKE)}
    assert "t" in weigh(final, {"t": PASS}, ["t"], ["t"]).regressed


@pytest.mark.parametrize("before", [Stood(1, Outcome.FAILED, None), Stood(1, Outcome.PASSED, None, fake=True)])
def test_what_was_never_seen_to_pass_may_fail_again(make, before):
    final = {"t": make.result(id="t", outcome=Outcome.FAILED)}
    assert weigh(final, {"t": before}, ["t"], ["t"]).reasons(allow_regressions=False) == []


def test_a_test_that_was_made_to_say_nothing_is_seen(make):
    before = {"a": PASS, "b": Stood(1, Outcome.FAILED, None), "c": Stood(1, Outcome.SKIPPED, None)}
    final = {
        "a": make.result(id="a", outcome=Outcome.XFAILED),
        "b": make.result(id="b", outcome=Outcome.SKIPPED),
        "c": make.result(id="c", outcome=Outcome.SKIPPED),
    }
    told = weigh(final, before, "abc", "abc")
    assert set(told.silenced) == {"a", "b"}
    assert told.reasons(allow_regressions=True) == ["2 tests ran before and are skipped now: a, b"]


def test_a_test_that_is_gone_is_seen_but_not_where_a_part_was_selected():
    told = weigh({}, {}, ["a", "b", "c", "d", "e"], ["a"])
    assert told.reasons(allow_regressions=True) == ["4 tests of this session are gone: b, c, d and 1 more"]
    assert weigh({}, {}, ["a", "b"], ["a"], full=False).vanished == ()
