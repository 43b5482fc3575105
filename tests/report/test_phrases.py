"""What the journal's events are called."""

from __future__ import annotations

from netra_loop.core.events import ErrorsGrouped
from netra_loop.report import phrases


def test_that_no_error_was_logged_is_said_only_of_complete_logs():
    assert phrases.event(ErrorsGrouped(complete=True)) == "no error was logged"
    assert phrases.event(ErrorsGrouped(complete=False)) == "no error was read, but the logs are not complete"
