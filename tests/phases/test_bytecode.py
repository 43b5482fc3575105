"""Bytecode that may say of sealed files what they do not."""

import pytest

from netra_loop.core.seal import Seal, default_seal
from netra_loop.phases.bytecode import forget

CACHED = (
    "tests/__pycache__/test_a.cpython-311-pytest-9.pyc",
    "tests/deep/__pycache__/helper.cpython-311.pyc",
    "__pycache__/conftest.cpython-311-pytest-9.pyc",
    "__pycache__/app.cpython-311.pyc",
    "service/__pycache__/app.cpython-311.pyc",
)


@pytest.mark.parametrize(
    ("seal", "left"),
    [
        (default_seal(["tests"], "loops/night.yaml"), CACHED[3:]),
        (default_seal(["tests/test_a.py"], None), (CACHED[1], *CACHED[3:])),
        (Seal(globs=("tests/**",)), ()),
        (Seal(), CACHED),
    ],
)
def test_what_lies_beside_sealed_files_goes(tmp_path, seal, left):
    for path in CACHED:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "tests/test_a.py").write_text("x = 1\n")
    forget(tmp_path, seal)
    assert {path for path in CACHED if (tmp_path / path).exists()} == set(left)


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept/a.pyc").write_bytes(b"x")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/__pycache__").symlink_to("../kept")
    forget(tmp_path, default_seal(["tests"], None))
    assert not (tmp_path / "tests/__pycache__").is_symlink()
    assert (tmp_path / "kept/a.pyc").exists()
