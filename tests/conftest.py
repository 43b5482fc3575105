"""What keeps test processes that run side by side out of each other's way."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from netra_loop import cgroups
from netra_loop.testing.postgres import Missing, PrivatePostgres

# how long an example takes says more of the machine than of what is tested
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")

# suites that are started here are no workers of the pytest-xdist that started us
for _name in [name for name in os.environ if name.startswith("PYTEST_XDIST")]:
    del os.environ[_name]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL server of this test process. Whoever restarts it leaves it running."""
    try:
        server = PrivatePostgres()
    except Missing as error:
        pytest.skip(str(error))
    yield server
    server.close()


@pytest.fixture(scope="session", autouse=True)
def _own_cgroup() -> Iterator[None]:
    """A cgroup around this process, where one can be had: whoever looks for what the dead left looks in its own."""
    base = cgroups._base()
    if base is None:
        yield
        return
    own = base.path / f"tests-{os.getpid()}"
    own.mkdir(exist_ok=True)  # one who was killed may have had our pid
    (own / "cgroup.procs").write_text("0")
    cgroups._base.cache_clear()
    yield
    (base.path / "cgroup.procs").write_text("0")
    cgroups._base.cache_clear()
    with contextlib.suppress(OSError):  # something in it still runs
        own.rmdir()
