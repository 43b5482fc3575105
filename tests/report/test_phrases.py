"""What events and results are called."""

from __future__ import annotations

import pytest

from netra_loop.core.events import ErrorsGrouped
from netra_loop.core.goal import GONE, MOVED
from netra_loop.report import phrases


def test_that_no_error_was_logged_is_said_only_of_complete_logs():
    assert phrases.event(ErrorsGrouped(complete=True)) == "no error was logged"
    assert phrases.event(ErrorsGrouped(complete=False)) == "no error was read, but the logs are not complete"


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (f"{GONE}: the embedded cloud, process 17 (signal 9), had ended", ", not counted: the environment had ended"),
        (f"{MOVED}: b-00002 served backend", ", not counted: another revision served"),
        ("no-contact", ""),
    ],
)
@pytest.mark.parametrize("before", [(), ("mocked: respx",)])
def test_a_result_that_does_not_count_is_no_plain_one(result, reason, said, before):
    told = phrases.result(result("a", "failed", message="refused", reasons=(*before, reason)))
    assert told == f"FAILED a (P1, 2.35 s{said}): refused"
