import pytest

from netra_loop.cli.hints import hints_to_type
from netra_loop.cli.words import store_of
from netra_loop.errors import SessionHeld, StoreError, UsageError

COMMAND = "netra-loop --store '/a store/x.db'"


def told(error: StoreError | UsageError, *commands: str) -> str | None:
    with pytest.raises(type(error)) as caught:
        raised(error, *commands)
    return caught.value.hint


def raised(error: Exception, *commands: str) -> None:
    if not commands:
        raise error
    with hints_to_type(lambda: commands[-1]):
        raised(error, *commands[:-1])


def test_every_command_of_a_hint_names_the_store():
    hint = told(SessionHeld("s", "process 7"), COMMAND) or ""
    assert hint.count(f"{COMMAND} resume s") == 2
    assert hint.endswith(f"{COMMAND} resume s --takeover")


@pytest.mark.parametrize(
    "hint",
    [
        None,
        "netra-loop --store y.db journal --restore z.db",
        "netra-loop validate loops/x.yaml",
        "/opt/netra-loop list",
        "use the newer netra-loop",
    ],
)
def test_what_names_one_or_asks_none_stays_as_it_is(hint: str | None):
    assert told(StoreError("x", hint=hint), COMMAND) == hint


def test_the_innermost_knows_best():
    assert told(UsageError("x", hint="netra-loop list"), COMMAND, "netra-loop") == f"{COMMAND} list"


@pytest.mark.parametrize("words", ["--store x list", "list --store x", "--store=x list", "list --store=x --json"])
def test_the_store_is_found_wherever_it_stands(words: str):
    assert store_of(words.split()) == "x"
    assert store_of(["list"]) is None
