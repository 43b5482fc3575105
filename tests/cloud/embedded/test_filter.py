import pytest

from netra_loop.cloud.embedded.filter import FilterError, parse
from netra_loop.cloud.embedded.matching import time_bounds

ENTRY = {
    "logName": "projects/p/logs/run.googleapis.com%2Fstdout",
    "severity": "WARNING",
    "timestamp": "2025-01-01T00:00:00.500000000Z",
    "resource": {"type": "cloud_run_revision", "labels": {"revision_name": "r-1"}},
    "jsonPayload": {"message": "Hello World", "n": 3.0, "ok": True, "list": [1.0, 2.0], "none": None},
    "labels": {"commit-sha": "AB", "a.b/c": "x"},
    "httpRequest": {"status": 200, "latency": "0.250s", "requestSize": "1200", "cacheHit": True},
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
        'SEARCH("`hello world` warning")',
        'textPayload!="x"',  # a field of LogEntry itself that is not there has its default
        "sourceLocation.line<5",
        "httpRequest.status=200.0",
        "httpRequest.cacheHit=TRUE",
        "NOT httpRequest.cacheLookup=true",
        "httpRequest:*",
        'jsonPayload:"list"',
        "labels:commit-sha",
        'NOT labels."none"!=x',
        "jsonPayload.message>hallo",
        "json_payload.message:ｈｅｌｌｏ",  # the same letters in another form
        "httpRequest.status=(404 OR 200)",
        'jsonPayload.message:("hello" AND "world")',
        'jsonPayload.message=(NOT "x")',
        "-(severity=INFO OR hello) OR hello",
        "NOT-severity=WARNING",
        r'jsonPayload.message=~"(?i)^HELLO\\s\\pL+$"',
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
        "httpRequest.cacheLookup:*",
        "httpRequest.status>=500",
        'jsonPayload.n="3x"',
        "jsonPayload.ok=1",
        "jsonPayload.message>3 AND jsonPayload.message<4",
        'SEARCH("`world hello`")',
        "jsonPayload.Message:*",  # JSON keeps its case
        'jsonPayload:"*"',
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
        ("sample(insertId, 0.25)", "'sample' is not available"),
        ('ip_in_net(httpRequest.remoteIp, "10.0.0.0/8")', "'ip_in_net' is not available"),
        ("source(projects/p)", "'source' is not available"),
        ("jsonPayload.a = cast(b, INT64)", "'cast' is not available"),
        ('regexp_extract(textPayload, "a") = b', "'regexp_extract' is not available"),
        ("jsonPayload.a=other(b)", "not known"),
        ("textPayload.thud=1", "'textPayload.thud' is no field"),
        ("operation.thud=1", "'operation.thud' is no field of operation"),
        ("httpRequest.status=many", "'many' is no number"),
        ("httpRequest.cacheHit=maybe", "neither true nor false"),
        ("httpRequest=1", "'httpRequest' is a message"),
        (r'textPayload=~"(a)\\1"', "an escape that RE2 does not have"),
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
    low, high, left = time_bounds(parse('timestamp>="2025-01-01" AND severity=INFO AND timestamp<"2025-01-02"'))
    assert high - low == 86_400 * 10**9 - 1
    assert left == parse("severity=INFO")
    assert time_bounds(parse('timestamp>="2025-01-01" OR severity=INFO'))[:2] == (None, None)


@pytest.mark.parametrize(
    ("query", "known"),
    [
        ("severity>=INFO AND resource.type=cloud_run_revision", True),
        ('log_id("other") AND hello', False),
        ('log_id("other") OR NOT severity=INFO', True),
        ('resource.labels.revision_name="r-1" AND hello', "hello"),
        ("NOT (severity=INFO OR trace:x)", "NOT trace:x"),
    ],
)
def test_what_entries_share_is_asked_once(query, known):
    shared = {name: ENTRY[name] for name in ("logName", "resource", "severity")}
    found = parse(query).known_of(shared)
    assert found == known if isinstance(known, bool) else found.matches(ENTRY) == parse(known).matches(ENTRY)
