import pytest

from netra_loop.cloud.embedded.filter import FilterError, parse, time_bounds

ENTRY = {
    "logName": "projects/p/logs/run.googleapis.com%2Fstdout",
    "severity": "WARNING",
    "timestamp": "2025-01-01T00:00:00.500000000Z",
    "resource": {"type": "cloud_run_revision", "labels": {"revision_name": "r-1"}},
    "jsonPayload": {"message": "Hello World", "n": 3.0, "ok": True, "list": [1.0, 2.0], "none": None},
    "labels": {"commit-sha": "AB", "a.b/c": "x"},
    "httpRequest": {"status": 200, "latency": "0.250s", "requestSize": "1200"},
}


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  -- nothing but a comment",
        "severity>=warning",
        "severity = WARNING",
        "severity>300",
        "resource.type = cloud_run_revision\n AND timestamp>=2025-01-01T00:00:00+0000",
        'timestamp>"2025-01-01T00:00:00.4Z" timestamp<"2025-01-02"',
        'resource.labels.revision_name=("x" OR "R-1")',
        'log_id("run.googleapis.com/stdout")',
        'log_id("run.googleapis.com/stderr") OR log_id("run.googleapis.com/stdout")',
        "hello",
        '"hello world"',
        "-severity=INFO",
        "NOT NOT severity=WARNING",
        "jsonPayload.n>2",
        "jsonPayload.n=3",
        "NOT jsonPayload.missing=1",
        "jsonPayload.ok=true",
        "jsonPayload.list=2",
        "jsonPayload.list:*",
        "jsonPayload.none=NULL_VALUE",
        'json_payload.message=~"^Hello"',
        'jsonPayload.message!~"^hello"',
        "jsonPayload.message:world",
        'labels."commit-sha"=ab',
        'labels."a.b/c"=x',
        "httpRequest.latency>200ms",
        "httpRequest.requestSize>=1200",
        'SEARCH("world hello")',
        "SEARCH(jsonPayload.message, hello)",
        'trace=""',
        'jsonPayload.message="hello world" -- with a comment',
    ],
)
def test_matches(query):
    assert parse(query).matches(ENTRY)


@pytest.mark.parametrize(
    "query",
    [
        "severity>WARNING",
        "jsonPayload.missing!=1",
        'jsonPayload.message=~"^hello"',
        "jsonPayload.n!=3",
        'log_id("run.googleapis.com/std")',
        "absent",
        'SEARCH("worl")',
        "labels.other:*",
        'resource.labels.revision_name=("x" OR "y")',
        'timestamp>="2025-01-01T00:00:01Z"',
        "trace:*",
    ],
)
def test_does_not_match(query):
    assert not parse(query).matches(ENTRY)


def test_or_binds_tighter_than_and():
    query = parse("severity=INFO OR NOT severity=INFO AND NOT severity=ERROR OR severity=WARNING")
    assert query.matches(ENTRY)
    assert not query.matches({**ENTRY, "severity": "ERROR"})


def test_lower_case_words_are_search_terms():
    assert not parse("hello and world").matches(ENTRY)


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("(", "expected a value"),
        ("severity=", "expected a value"),
        ("severity=INFO AND", "expected a value"),
        ("severity=INFO)", "expected the end"),
        ("OR", "expected a value"),
        ('"x', "without its closing quote"),
        ("foo.x=1", "'foo' is no field"),
        ("severity=loud", "no severity"),
        ("timestamp>yesterday", "no instant"),
        ("httpRequest.latency>5", "no duration"),
        ('jsonPayload.message=~"("', "no regular expression"),
        ("sample(insertId, 0.25)", "not available"),
        ("nope(1)", "not known"),
        ("(" * 100 + "a" + ")" * 100, "levels of brackets"),
        ("a" * 20_001, "at most 20000"),
    ],
)
def test_refuses(query, complaint):
    with pytest.raises(FilterError, match=complaint):
        parse(query)


def test_says_where_it_went_wrong():
    with pytest.raises(FilterError, match="line 2, column 10"):
        parse("severity=INFO\nseverity=)")


def test_time_bounds_are_read_off_the_top():
    low, high = time_bounds(parse('timestamp>="2025-01-01" AND severity=INFO AND timestamp<"2025-01-02"'))
    assert high - low == 86_400 * 10**9
    assert time_bounds(parse('timestamp>="2025-01-01" OR severity=INFO')) == (None, None)
