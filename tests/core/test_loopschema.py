from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from netra_loop.core import loopfile, loopschema
from netra_loop.errors import LoopFileError

ROOT = Path(__file__).parents[2]
EXAMPLES = [Path(__file__).parent / "example_loop.yaml", *sorted((ROOT / "loops").glob("*.yaml"))]
LEAST: dict[str, Any] = {"name": "x", "tests": {"paths": ["t"]}, "phases": {"select": {"uses": "select"}}}


def is_valid(loop: Any) -> bool:
    return jsonschema.Draft202012Validator(loopschema.schema()).is_valid(loop)


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(loopschema.schema())


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_real_loops_are_valid(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), loopschema.schema(), jsonschema.Draft202012Validator)


def described(schema: Any, path: str = "") -> Any:
    """Every property that has no description."""
    if isinstance(schema, dict):
        for name, value in schema.get("properties", {}).items():
            if isinstance(value, dict) and "const" not in value and not value.get("description"):
                yield f"{path}.{name}"
        for name, value in schema.items():
            yield from described(value, f"{path}.{name}")
    if isinstance(schema, list):
        for value in schema:
            yield from described(value, path)


def test_every_key_is_described():
    assert not list(described(loopschema.schema()))


BROKEN = [
    {"test": {}},
    {"name": "Golden Path"},
    {"version": 2},
    {"tests": {"path": ["t"]}},
    {"tests": {"timeout": 30}},
    {"tests": {"timeout": "30 seconds"}},
    {"tests": {"timeout": ""}},
    {"tests": {"workers": "16"}},
    {"tests": {"isolation": "process"}},
    {"goal": {"authenticity": "of"}},
    {"tiers": [{"name": "A", "max_failures": 5}]},
    {"tiers": [{"name": "A", "max_failures": "101%"}]},
    {"tiers": [{"name": "A", "select": "some"}]},
    {"tiers": [{"name": "A", "select": {}}]},
    {"tiers": [{"title": "A"}]},
    {"tiers": [{"name": "A", "max_flaky": 5}]},
    {"stages": []},
    {"stages": "connected"},
    {"stages": [["a"]]},
    {"stages": [{"a": "x", "b": "y"}]},
    {"stages": [{"a": []}]},
    {"stages": [{"a": {}}]},
    {"stages": [{"a": {"sendt": "x"}}]},
    {"stages": [{"a": {"sent": "x", "received": "y"}}]},
    {"stages": [{"a": {"sent": "x", "status": "2xx"}}]},
    {"stages": [{"a": {"request": "POST"}}]},
    {"stages": [{"a": {"request": "/x", "status": "9xx"}}]},
    {"stages": ["${vars.x}"]},
    {"environments": {"a": {"cloud": "googel"}}},
    {"services": {"Web": {}}},
    {"services": {"web": {"image": ["i"]}}},
    {"services": {"web": {"traffic": "tag"}}},
    {"services": {"web": {"resources": {"memory": "much"}}}},
    {"services": {"web": {"scaling": {"max": 0}}}},
    {"services": {"web": {"labels": {"Team": "a"}}}},
    {"services": {"web": {"env": {"X_GOOGLE_A": "a"}}}},
    {"services": {"web": {"env": {"PORT": "1"}}}},
    {"auth": [{"jwt": {"secret": "a"}}]},
    {"auth": [{"command": "a", "bypass": {"url": "u", "key": "k"}}]},
    {"journeys": {"j": {"steps": []}}},
    {"journeys": {"j": {"steps": [{"wait": 1}]}}},
    {"journeys": {"j": {"steps": [{"expect": {"within": "1s"}}]}}},
    {"journeys": {"j": {"steps": [{"request": {"method": "GET"}}]}}},
    {"phases": {}},
    {"phases": {"done": {"uses": "select"}}},
    {"phases": {"a": {"uses": "commit"}}},
    {"phases": {"a": {"uses": "run"}}},
    {"phases": {"a": {"uses": "run", "with": {"timeout": "1s"}}}},
    {"phases": {"a": {"uses": "run", "with": {"command": "x", "settle": "1s"}}}},
    {"phases": {"a": {"uses": "select", "with": {"command": "x"}}}},
    {"phases": {"a": {"uses": "select", "next": {"met": "done"}}}},
    {"phases": {"a": {"uses": "record", "next": {"ok": "done"}}}},
    {"phases": {"a": {"uses": "record", "tries": 3}}},
    {"seal": "none"},
]


STAGES = [
    ["connected", "authenticated", {"start": {"sent": "start_agent"}}, "agent_started", {"end": ["a", "b"]}],
    [{"a": "x"}, {"b": {"received": ["y", "z"]}}, {"c": {"request": "POST /runs/*", "status": [201, "3xx"]}}],
]


@pytest.mark.parametrize("stages", STAGES)
def test_stages_are_right_for_the_schema_and_for_the_reader_alike(stages):
    loop = {**LEAST, "stages": stages}
    assert is_valid(loop)
    assert len(loopfile.load(yaml.safe_dump(loop), Path("/l.yaml")).stages) == len(stages)


@pytest.mark.parametrize("change", BROKEN, ids=str)
def test_mistakes_are_seen_by_the_schema_and_by_the_reader_alike(change):
    loop = {**LEAST, **change}
    assert is_valid(LEAST)
    assert not is_valid(loop)
    with pytest.raises(LoopFileError):
        loopfile.load(yaml.safe_dump(loop), Path("/l.yaml"))


@pytest.mark.parametrize("missing", ["name", "tests", "phases"])
def test_required_keys(missing):
    assert not is_valid({key: value for key, value in LEAST.items() if key != missing})
