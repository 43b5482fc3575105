"""What can be turned while the server runs, and what is no knob."""

import pytest

from netra_loop.cloud.embedded.knobs import Failure, KnobFile, Knobs, knob_of, set_knobs


def test_without_a_file_nothing_goes_wrong(tmp_path):
    assert KnobFile(tmp_path).now() == Knobs()


def test_a_change_counts_from_the_next_look_on_and_leaves_the_others(tmp_path):
    file = KnobFile(tmp_path)
    set_knobs(tmp_path, ingest_delay_ms=100, deny=["run.services.get"])
    assert file.now().ingest_delay_ms == 100
    set_knobs(tmp_path, ingest_delay_ms=200)
    assert (file.now().ingest_delay_ms, file.now().deny) == (200, ("run.services.get",))
    set_knobs(tmp_path, ingest_delay_ms=None)
    assert file.now() == Knobs(deny=("run.services.get",))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"nonsense": 1}, "unknown knob 'nonsense'"),
        ({"ingest_delay_ms": "soon"}, "ingest_delay_ms is 'soon'"),
        ({"ingest_delay_ms": -1}, "from 0 on"),
        ({"empty_pages": True}, "empty_pages is True"),
        ({"wait_returns_early": 1}, "true or false"),
        ({"lro_error_code": 5}, "expected 9 or 13"),
        ({"deny": "run.services.get"}, "expected a list"),
        ({"fail": [{"code": "UNAVAILABLE"}]}, "with a call"),
        ({"fail": [{"call": "GetService", "code": "BROKEN"}]}, "code is 'BROKEN'"),
        ({"fail": [{"call": "GetService", "often": 2}]}, "unknown fail 'often'"),
    ],
)
def test_what_is_no_knob_is_refused_and_changes_nothing(tmp_path, values, complaint):
    set_knobs(tmp_path, empty_pages=1)
    with pytest.raises(ValueError, match=complaint):
        set_knobs(tmp_path, **values)
    assert KnobFile(tmp_path).now() == Knobs(empty_pages=1)


def test_equal_failures_are_told_apart(tmp_path):
    again = Failure("GetService", times=2)
    first = set_knobs(tmp_path, fail=[again]).fail
    assert set_knobs(tmp_path, empty_pages=1).fail == first
    assert set_knobs(tmp_path, fail=[again]).fail != first


def test_a_file_that_became_nonsense_is_said_and_the_last_good_one_goes_on(tmp_path):
    set_knobs(tmp_path, empty_pages=1)
    file = KnobFile(tmp_path)
    assert file.now().empty_pages == 1
    (tmp_path / "knobs.json").write_text('{"empty_pages": "x"}')
    with pytest.raises(ValueError, match="empty_pages"):
        file.now()
    assert file.last_good().empty_pages == 1


@pytest.mark.parametrize(
    ("typed", "knob"),
    [
        ("cold_start_ms=1500", ("cold_start_ms", 1500)),
        ("wait_returns_early=true", ("wait_returns_early", True)),
        ("deny=run.services.get,run.services.list", ("deny", ["run.services.get", "run.services.list"])),
        ('fail=[{"call": "GetService"}]', ("fail", [{"call": "GetService"}])),
    ],
)
def test_a_knob_as_a_person_types_it(typed, knob):
    assert knob_of(typed) == knob


def test_a_word_is_no_knob():
    with pytest.raises(ValueError, match="NAME=VALUE"):
        knob_of("cold_start_ms")
