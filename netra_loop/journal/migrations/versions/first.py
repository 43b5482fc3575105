"""The tables of the first version; every store has them."""

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Nothing comes before it."""
