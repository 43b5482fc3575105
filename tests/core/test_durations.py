import pytest
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.core import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86_400.0),
        ("5h30m", 19_800.0),
        ("1h 2m 3s", 3723.0),
        ("1.5s", 1.5),
        ("0s", 0.0),
        ("3650d", durations.LONGEST_S),
    ],
)
def test_reads_what_people_write(text, seconds):
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "s",
        "30 s",
        "-1s",
        "1y",
        "30S",
        "1m2h",
        "1h1h",
        "1s ",
        " 1s",
        "1e3s",
        "12:30",
        "٣s",
        "1.s",
        "9" * 400 + "s",
    ],
)
def test_refuses_what_is_no_duration(text):
    with pytest.raises(ValueError, match="expected a duration such as"):
        durations.parse(text)


def test_refuses_more_than_ten_years():
    with pytest.raises(ValueError, match="at most ten years"):
        durations.parse("3651d")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.0, "0s"),
        (0.04, "40ms"),
        (0.4, "0.4s"),
        (30.0, "30s"),
        (59.96, "1m"),
        (3723.0, "1h 2m 3s"),
        (86_400.0, "1d"),
        (-90.0, "-1m 30s"),
    ],
)
def test_shows_what_people_read(seconds, shown):
    assert durations.show(seconds) == shown


@given(st.integers(min_value=0, max_value=int(durations.LONGEST_S)))
def test_what_is_shown_can_be_read_again(seconds):
    assert durations.parse(durations.show(float(seconds))) == seconds
