"""What the page about fixers says that a command is given, it is given."""

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "fixers.md").read_text(encoding="utf-8")


async def test_every_variable_of_the_page_is_there(bench):
    await bench.deployed()
    result = await bench.act("run", command="env")
    given = set(re.findall(r"^(NETRA_LOOP_\w+)=", result.facts["output"], re.MULTILINE))
    assert set(re.findall(r"\bNETRA_LOOP_[A-Z_]*[A-Z]\b", PAGE)) - given == set()
    assert "NETRA_LOOP_URL_BACKEND" in given
