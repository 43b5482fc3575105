"""Who owns a session is told apart by more than a number that an older copy of the store would give again; and stores
are told apart from each other.
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the owner's name to each session, and the store's own."""
    connection = op.get_bind()
    shared = connection.dialect.name == "postgresql"
    text = sa.Text(collation="C") if shared else sa.Text()
    op.add_column("sessions", sa.Column("owner", text))
    made = op.create_table(
        "store_identity", sa.Column("id", text, primary_key=True), sa.Column("epochs", sa.Integer, nullable=False)
    )
    connection.execute(sa.insert(made).values(id=secrets.token_hex(16), epochs=0))
    if shared:
        op.add_column("netra_loop_owners", sa.Column("owner", text))
        op.alter_column("netra_loop_owners", "asked", type_=text)
