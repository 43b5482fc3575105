"""Tests of values that are never written: where they were declared stands in files, values come out of them."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from netra_loop.cloud.embedded.withheld import Withheld, what_is_gone
from netra_loop.core.redact import Redactor

NAME = "projects/demo/locations/local/services/backend/revisions/backend-00001-abc"
VALUES = {
    "services.backend.env.A_KEY": "open-sesame",
    "services.backend.env.B_SECRET": "demo",
    "services.backend.command.2": "--with=open-sesame",
}
TEXTS = st.one_of(
    st.sampled_from(["open-sesame-not", "demo", "[netra-loop keeps: services.backend.env.A_KEY]", "withheld", ""]),
    st.text(max_size=12),
)


def revision(env: dict[str, str], command: list[str] | None = None, **more: object) -> dict[str, object]:
    pairs = [{"name": name, "value": value} for name, value in env.items()]
    return {"name": NAME, "containers": [{"env": pairs, "command": command or []}], **more}


def again(resource: object, first: dict[str, str | None], then: dict[str, str | None] | None = None) -> object:
    """What a server that starts once more makes of it, given the values of `then`."""
    redactor = Redactor([value for value in first.values() if value])
    written = json.loads(json.dumps(Withheld(first, redactor).out_of(resource)))  # type: ignore[arg-type]
    assert "open-sesame" not in str(written).replace("open-sesame-not", "")
    return Withheld(first if then is None else then, redactor).back_into(written, 2)


@given(st.dictionaries(st.sampled_from(["C", "MODE", "PORT"]), TEXTS), st.lists(TEXTS, max_size=3), TEXTS)
def test_what_comes_back_is_what_went_in(env: dict[str, str], command: list[str], label: str):
    env = {name: value for name, value in env.items() if "open-sesame" not in value}
    command = [word for word in command if "open-sesame" not in word]
    whole = revision({**env, "A_KEY": "open-sesame", "B_SECRET": "demo"}, ["x", "y", "--with=open-sesame", *command])
    assert again({**whole, "labels": {"x": label.replace("open-sesame", "")}}, VALUES) == {
        **whole,
        "labels": {"x": label.replace("open-sesame", "")},
    }


def test_a_variable_has_what_its_own_declaration_says_today():
    then = {**VALUES, "services.backend.env.A_KEY": "todays-sesame", "services.backend.env.B_SECRET": "prod"}
    came = again(revision({"A_KEY": "open-sesame", "B_SECRET": "demo", "MODE": "demo"}), VALUES, then)
    assert came == revision({"A_KEY": "todays-sesame", "B_SECRET": "prod", "MODE": "demo"})


def test_what_nobody_says_any_more_is_never_made_up():
    came = again(revision({"A_KEY": "open-sesame", "MODE": "demo"}, ["x", "y", "--with=open-sesame"]), VALUES, {})
    (container,) = came["containers"]  # type: ignore[index]
    key, mode = (pair["value"] for pair in container["env"])
    assert what_is_gone(key) == "services.backend.env.A_KEY"
    assert what_is_gone(container["command"][2]) == "services.backend.command.2"
    assert (mode, what_is_gone(mode)) == ("demo", None)
    known = again(came, {}, VALUES)  # and has its value once somebody says it
    assert known == revision({"A_KEY": "open-sesame", "MODE": "demo"}, ["x", "y", "--with=open-sesame"])


def test_a_service_of_the_same_variable_has_a_value_of_its_own():
    other = revision({"A_KEY": "of-another"}) | {"name": NAME.replace("services/backend", "services/other")}
    assert again(other, {**VALUES, "services.other.env.A_KEY": "of-another"}) == other


def test_files_of_the_first_version_are_read():
    old = revision({"A_KEY": "[netra-loop keeps: the variable A_KEY]", "U": "http://me:[netra-loop keeps: x]@host"})
    (container,) = Withheld(VALUES).back_into(old, 1)["containers"]
    key, url = (pair["value"] for pair in container["env"])
    assert key == "open-sesame"
    assert what_is_gone(url) == "services.backend.env.U"
