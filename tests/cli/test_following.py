"""Tests of which entries and error groups `logs` is asked for."""

from __future__ import annotations

import pytest

from netra_loop.cli.following import Wanted

ROWS = [
    {"id": "E-1", "severity": "ERROR", "service": "backend", "revisions": ["backend-1", "backend-2"]},
    {"id": "E-2", "severity": "DEFAULT", "service": "front", "revisions": ["front-1"]},
]


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        (Wanted(), ["E-1", "E-2"]),
        (Wanted(severity="WARNING"), ["E-1"]),
        (Wanted(services=("front",)), ["E-2"]),
        (Wanted(revisions=("backend-2", "other")), ["E-1"]),
        (Wanted(services=("nobody",)), []),
    ],
)
def test_error_groups_are_chosen_as_entries_are(wanted, ids):
    assert [row["id"] for row in wanted.groups(ROWS)] == ids
