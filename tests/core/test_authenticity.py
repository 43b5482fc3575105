from __future__ import annotations

from dataclasses import replace

import pytest

from netra_loop.core.authenticity import assess, canonical_host
from netra_loop.core.records import Authenticity, Child, Evidence, Outcome

HOSTS = [("127.0.0.1", 4000), ("api.staging.example.com", None)]


def judged(evidence, *, outcome=Outcome.PASSED, duration_s=1.0, hosts=HOSTS, **more):
    return assess(outcome, evidence, duration_s, hosts, **more)


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


@pytest.mark.parametrize(("sent", "received"), [(10, 0), (0, 0)])
def test_one_way_traffic_is_no_exchange(make, sent, received):
    assert judged(make.evidence(contacts=(make.contact(sent=sent, received=received),)))[0] is Authenticity.FAKE


def beside(make, name="poller", **more):
    return replace(make.contact(**more), thread=name)


def test_what_only_a_thread_from_before_the_test_asked_makes_it_suspect(make):
    kind, (reason,) = judged(make.evidence(contacts=(beside(make),)))
    assert kind is Authenticity.SUSPECT
    assert "(poller)" in reason
    assert "have the test send a request of its own" in reason


def test_such_a_thread_takes_nothing_from_what_the_test_did_itself(make):
    assert judged(make.evidence(contacts=(beside(make), make.contact()))) == (Authenticity.REAL, ())


def test_such_a_thread_may_have_taken_in_what_the_test_asked(make):
    seen = make.evidence(contacts=(make.contact(received=0), beside(make, sent=0)))
    assert judged(seen)[0] is Authenticity.SUSPECT


def test_such_a_thread_that_talked_to_others_leaves_it_fake(make):
    assert judged(make.evidence(contacts=(beside(make, host="metrics.example.com"),)))[0] is Authenticity.FAKE


def test_bytes_that_nobody_asked_for_while_it_ran_make_it_suspect(make):
    kind, (reason,) = judged(make.evidence(contacts=(make.contact(sent=0, received=7),)))
    assert kind is Authenticity.SUSPECT
    assert reason.startswith("7 bytes came from ")


def test_what_came_to_a_thread_from_before_counts_where_it_was_a_message(make):
    silent = make.evidence(contacts=(beside(make, sent=0, received=7),))
    assert judged(silent)[0] is Authenticity.FAKE
    assert judged(replace(silent, frames=(make.frame("text"),)))[0] is Authenticity.SUSPECT


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


@pytest.mark.parametrize(
    ("listed", "seen"),
    [
        (("localhost", 4000), ("::1", 4000)),
        (("[fe80::1]", 80), ("FE80:0:0::1", 80)),
        (("staging.example.com.", None), ("Staging.Example.com", 8443)),
        (("büro.example.com", 443), ("xn--bro-hoa.example.com", 443)),
    ],
)
def test_a_host_is_the_same_in_every_spelling(make, listed, seen):
    assert judged(make.evidence(contacts=(make.contact(*seen),)), hosts=[listed])[0] is Authenticity.REAL


def test_what_was_sent_and_never_answered_is_told(make):
    _, reasons = judged(make.evidence(contacts=(make.contact(sent=12, received=0),)))
    assert reasons == ("no-contact", "127.0.0.1:4000: 12 bytes sent, 0 received")


def test_answers_without_a_byte_are_told_and_are_none(make):
    kind, reasons = judged(make.evidence(exchanges=(make.exchange(200, "/me?key=hush"),)))
    assert kind is Authenticity.FAKE
    assert reasons[0] == "no-contact"
    assert reasons[1].startswith("answered without a byte of its own, ")
    assert reasons[1].endswith(": http://127.0.0.1:4000/me")


def test_a_client_that_was_patched_and_talked_all_the_same_is_real(make):
    seen = Evidence(contacts=(make.contact(),), mocked=("httpx.Client.post",))
    assert judged(seen)[0] is Authenticity.REAL


PROXY = ("proxy.example.com", 3128)


def test_an_answer_through_a_proxy_that_the_tests_were_told_of_is_real(make):
    seen = make.evidence(contacts=(make.contact(*PROXY),), exchanges=(make.exchange(200),))
    assert judged(seen, proxies=[PROXY])[0] is Authenticity.REAL
    assert judged(seen)[0] is Authenticity.FAKE


def test_a_proxy_that_gave_no_answer_of_the_environment_vouches_for_nothing(make):
    talked = (make.contact(*PROXY),)
    silent = make.evidence(contacts=talked, exchanges=(make.exchange(None),))
    patched = Evidence(contacts=talked, exchanges=(make.exchange(200),), mocked=("httpx",))
    one_way = make.evidence(contacts=(make.contact(*PROXY, received=0),), exchanges=(make.exchange(200),))
    assert {judged(seen, proxies=[PROXY])[0] for seen in (silent, patched, one_way)} == {Authenticity.FAKE}


def test_a_socket_behind_a_proxy_is_told_by_its_frames(make):
    seen = make.evidence(make.event("agent_completed"), contacts=(make.contact(*PROXY),))
    assert judged(seen, proxies=[PROXY])[0] is Authenticity.REAL


def test_programs_that_a_test_started_are_named(make):
    kind, reasons = judged(Evidence(children=(Child("curl", make.T0), Child("node", make.T0), Child("curl", make.T0))))
    assert kind is Authenticity.FAKE
    assert reasons[0] == "no-contact"
    assert reasons[1].startswith("started curl, node: ")


def test_a_test_that_is_not_the_one_the_session_began_with_is_suspect(make):
    changed = "its source changed since the session began: tests/test_x.py"
    assert judged(make.evidence(contacts=(make.contact(),)), changed=changed) == (Authenticity.SUSPECT, (changed,))
    assert judged(Evidence(), changed=changed) == (Authenticity.FAKE, ("no-contact", changed))
    assert judged(Evidence(), changed=changed, outcome=Outcome.FAILED) == (Authenticity.NOT_APPLICABLE, ())


def test_a_lost_connection_of_another_host_is_no_sign(make):
    lost = make.frame("close", url="ws://127.0.0.1:4001/ws", code=1006)
    assert judged(make.evidence(lost, contacts=(make.contact(),)))[0] is Authenticity.REAL
    assert judged(make.evidence(make.closed(1006), contacts=(make.contact(),)))[0] is Authenticity.SUSPECT


def test_whose_the_programs_are_is_told(make):
    children = (Child("curl", make.T0), Child("node", make.T0, shared=True), Child("rm", make.T0, apart=True))
    _, reasons = assess(Outcome.PASSED, Evidence(children=children), 1.0, [("a.example.com", 80)])
    assert any(reason.startswith("started curl, beside node of a shared fixture: ") for reason in reasons)
    _, reasons = assess(Outcome.PASSED, Evidence(children=children[2:]), 1.0, [("a.example.com", 80)])
    assert reasons == ("no-contact",)
