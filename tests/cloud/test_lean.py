"""What Google's packages would take along."""

import subprocess
import sys

_PROGRAM = """
import sys
from netra_loop.cloud.lean import lean_imports
with lean_imports():
    import netra_loop.cloud.google
assert "aiohttp" not in sys.modules
import aiohttp
print(aiohttp.__name__, sys.modules["aiohttp"] is aiohttp)
"""


def test_aiohttp_is_left_out_of_googles_imports_and_there_afterwards():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("aiohttp True\n", "")


def test_what_was_imported_before_stays():
    import aiohttp

    from netra_loop.cloud.lean import lean_imports

    with lean_imports():
        assert sys.modules["aiohttp"] is aiohttp
    assert sys.modules["aiohttp"] is aiohttp
