import pytest

from netra_loop.cloud.embedded.trace import trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_the_trace_of_a_traceparent_is_kept_under_a_new_span():
    trace = trace_of({b"traceparent": f"00-{TRACE}-b7ad6b7169203331-01".encode()})
    assert trace.trace_id == TRACE
    assert trace.span_id != "b7ad6b7169203331"


def test_the_older_header_counts_where_there_is_no_traceparent():
    assert trace_of({b"x-cloud-trace-context": f"{TRACE.upper()}/12;o=0".encode()}).trace_id == TRACE


@pytest.mark.parametrize("value", [b"", b"nonsense", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"])
def test_a_malformed_header_counts_as_absent(value):
    assert trace_of({b"traceparent": value}).trace_id != trace_of({b"traceparent": value}).trace_id


def test_both_headers_name_the_same_trace_and_span():
    trace = trace_of({})
    headers = dict(trace.headers())
    assert headers[b"traceparent"].decode() == f"00-{trace.trace_id}-{trace.span_id}-01"
    assert headers[b"X-Cloud-Trace-Context"].decode() == f"{trace.trace_id}/{int(trace.span_id, 16)};o=1"
