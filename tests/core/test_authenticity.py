from __future__ import annotations

import pytest

from netra_loop.core.authenticity import assess, canonical_host, reassess_revision
from netra_loop.core.records import Authenticity, Evidence, Outcome

HOSTS = [("127.0.0.1", 4000), ("api.staging.example.com", None)]


def judged(evidence, *, outcome=Outcome.PASSED, duration_s=1.0, hosts=HOSTS, mode="required"):
    return assess(outcome, evidence, duration_s, hosts, mode=mode)


def test_a_pass_that_exchanged_data_with_the_environment_is_real(make):
    assert judged(make.evidence(contacts=(make.contact(),))) == (Authenticity.REAL, ())


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "::1", "[::1]", "127.0.0.2", "::ffff:127.0.0.1", "0.0.0.0"]
)
def test_all_names_of_the_loopback_are_one_host(host):
    assert canonical_host(host) == "localhost"


def test_a_stub_on_another_loopback_port_is_no_contact(make):
    kind, reasons = judged(make.evidence(contacts=(make.contact(port=4001),)))
    assert kind is Authenticity.FAKE
    assert reasons == ("no-contact", "talked only to 127.0.0.1:4001")


@pytest.mark.parametrize(("sent", "received"), [(0, 10), (10, 0), (0, 0)])
def test_one_way_traffic_is_no_exchange(make, sent, received):
    assert judged(make.evidence(contacts=(make.contact(sent=sent, received=received),)))[0] is Authenticity.FAKE


def test_any_port_of_a_named_host_counts(make):
    assert judged(make.evidence(contacts=(make.contact("API.staging.example.com", 443),)))[0] is Authenticity.REAL
    assert judged(make.evidence(contacts=(make.contact("staging.example.com.evil.org", 443),)))[0] is Authenticity.FAKE


def test_a_mocked_instant_pass_says_both(make):
    kind, reasons = judged(Evidence(mocked=("respx",)), duration_s=0.0002)
    assert kind is Authenticity.FAKE
    assert reasons[:3] == ("mocked", "instant", "no-contact")


def test_without_known_hosts_nothing_vouches_for_a_pass(make):
    kind, reasons = judged(make.evidence(contacts=(make.contact(),)), hosts=[])
    assert kind is Authenticity.FAKE
    assert "no host of the environment is known" in reasons[1]


@pytest.mark.parametrize("outcome", [one for one in Outcome if one is not Outcome.PASSED])
def test_what_did_not_pass_is_not_assessed(outcome):
    assert judged(Evidence(), outcome=outcome) == (Authenticity.NOT_APPLICABLE, ())


def test_off_assesses_nothing():
    assert judged(Evidence(), mode="off") == (Authenticity.NOT_APPLICABLE, ())


def test_a_pass_over_signs_of_failure_is_suspect(make):
    seen = make.evidence(
        make.event("error_message"),
        make.closed(1011),
        exchanges=(make.exchange(500), make.exchange(404), make.exchange(500)),
        contacts=(make.contact(),),
    )
    assert judged(seen) == (
        Authenticity.SUSPECT,
        ("HTTP 500 to GET /api", "error event error_message received", "WebSocket closed with 1011"),
    )


def test_signs_from_elsewhere_or_made_by_the_test_itself_are_none(make):
    elsewhere = make.frame("close", url="ws://other.example.com/ws", code=1011)
    ours = make.closed(1011, direction="sent")
    assert judged(make.evidence(elsewhere, ours, contacts=(make.contact(),)))[0] is Authenticity.REAL


def test_a_hostile_url_is_no_sign_and_no_error(make):
    seen = make.evidence(make.frame("close", url="ws://[bad:99999999/x", code=1011), contacts=(make.contact(),))
    assert judged(seen)[0] is Authenticity.REAL


def real(make, **more):
    return make.result(outcome=Outcome.PASSED, authenticity=Authenticity.REAL, **more)


def test_a_pass_that_another_revision_answered_is_fake(make):
    result = real(make)
    request = make.entry("GET /", log="requests", revision="backend-00002", trace_id=result.trace_id)
    reassessed = reassess_revision(result, [request], {"backend-00001"})
    assert reassessed.authenticity is Authenticity.FAKE
    assert reassessed.reasons == ("wrong-revision", "answered by backend-00002, expected backend-00001")


def test_other_traces_and_other_logs_say_nothing_of_it(make):
    result = real(make)
    entries = [
        make.entry("GET /", log="requests", revision="backend-00002", trace_id="another"),
        make.entry("x", log="stderr", revision="backend-00002", trace_id=result.trace_id),
        make.entry("GET /", log="requests", revision="backend-00001", trace_id=result.trace_id),
    ]
    assert reassess_revision(result, entries, {"backend-00001"}) is result
    assert reassess_revision(result, entries, set()) is result
