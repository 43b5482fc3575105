"""Indexes that answer for a million results: how they stand, without their bodies, and the selection in its order."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds them."""
    kinds = ["session", "iteration", "attempt", "outcome", "flaky", "authenticity"]
    op.create_index("results_counted", "results", kinds)
    op.create_index("selection_in_order", "selection", ["session", "iteration", "position"])
