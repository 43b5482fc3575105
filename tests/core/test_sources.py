from netra_loop.core.records import Sources
from netra_loop.core.sources import change, told_of, unseen, with_journeys
from netra_loop.core.spec import ConnectStep, JourneySpec, StepSpec

A, CONFTEST = "tests/test_a.py", "tests/conftest.py"
FIRST = Sources({A: "1", CONFTEST: "c", "tests/base.py": "b"}, {A: [CONFTEST]})
SAID = "its source changed since the session began: "


def now(**files):
    paths = {"a": A, "conftest": CONFTEST, "base": "tests/base.py"}
    return Sources({**FIRST.files, **{paths[name]: found for name, found in files.items()}}, FIRST.conftests)


def test_the_same_files_are_no_change():
    assert change(A, "tests/base.py", FIRST, now()) is None


def test_its_own_file_is_named():
    assert change(A, None, FIRST, now(a="2")) == SAID + A


def test_the_conftest_above_it_counts_and_is_named():
    assert change(A, None, FIRST, now(conftest="x")) == SAID + CONFTEST


def test_the_file_that_its_function_is_written_in_counts_only_for_it():
    assert change(A, "tests/base.py", FIRST, now(base="x")) == SAID + "tests/base.py"
    assert change(A, None, FIRST, now(base="x")) is None


def test_a_file_the_session_did_not_begin_with_has_not_changed():
    assert change("tests/test_new.py", None, FIRST, Sources({"tests/test_new.py": "1"})) is None
    assert change(A, None, Sources(), now(a="2")) is None


def test_a_conftest_that_came_later_is_a_change_also_once_it_was_seen():
    later = Sources({**FIRST.files, "conftest.py": "n"}, {A: ["conftest.py", CONFTEST]})
    assert change(A, None, FIRST, later) == SAID + "conftest.py (added)"
    seen = unseen(later, FIRST)
    merged = Sources({**seen.files, **FIRST.files}, {**seen.conftests, **FIRST.conftests})
    assert change(A, None, merged, later) == SAID + "conftest.py (added)"


def test_a_conftest_that_went_is_a_change():
    gone = Sources({A: "1"}, {A: []})
    assert change(A, None, FIRST, gone) == SAID + "tests/conftest.py (removed)"


def with_common(*names, **files):
    return Sources(
        {**FIRST.files, **{f"{name}.py": found for name, found in files.items()}}, {A: [CONFTEST], "": names}
    )


def test_the_project_s_plugins_and_settings_count_for_each_test():
    first = with_common("plugin.py", plugin="1")
    assert change(A, None, first, with_common("plugin.py", plugin="1")) is None
    assert change(A, None, first, with_common("plugin.py", plugin="2")) == SAID + "plugin.py"
    added = with_common("plugin.py", "more.py", plugin="1", more="1")
    assert change(A, None, first, added) == SAID + "more.py (added)"


def test_a_plugin_that_was_installed_since_is_told():
    first = Sources(FIRST.files, {A: [CONFTEST], "": [], "*": []})
    name = "pytest plugin evil"
    assert change(A, None, first, first) is None
    added = Sources({**FIRST.files, name: "installed"}, {A: [CONFTEST], "": [], "*": [name]})
    assert change(A, None, first, added) == SAID + f"{name} (added)"
    assert told_of(SAID + f"{name} (added), b.py") == [name, "b.py"]


def test_a_session_that_began_before_they_were_told_is_not_held_to_them():
    assert change(A, None, FIRST, with_common("plugin.py", plugin="1")) is None


def test_only_what_is_new_is_told_to_the_journal():
    fresh = unseen(Sources({A: "2", "tests/test_b.py": "1"}, {A: [], "tests/test_b.py": [CONFTEST]}), FIRST)
    assert (fresh.files, fresh.conftests) == ({"tests/test_b.py": "1"}, {"tests/test_b.py": [CONFTEST]})


def test_a_journey_s_source_is_its_text():
    journey = JourneySpec(name="path", steps=(StepSpec(connect=ConnectStep(url="ws://h/ws")),))
    moved = JourneySpec(name="path", steps=(journey.steps[0].model_copy(update={"line": 99}),))
    other = JourneySpec(name="path", steps=(*journey.steps, *journey.steps))
    first, later = with_journeys(Sources(), [journey]), with_journeys(Sources(), [other])
    assert change("journey::path", None, first, with_journeys(Sources(), [moved])) is None
    assert change("journey::path", None, first, later) == SAID + "journey::path"
