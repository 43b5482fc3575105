from __future__ import annotations

from dataclasses import replace

import pytest

from netra_loop.core.records import Authenticity, Child, Evidence, Outcome
from netra_loop.core.sources import CHANGED
from netra_loop.core.vouching import BY_TRACE, Vouching, reassess

NOW = "backend-00001"
REAL, SUSPECT, FAKE = Authenticity.REAL, Authenticity.SUSPECT, Authenticity.FAKE


def passed(make, name="test_a", authenticity=REAL, **more):
    return make.result(name, outcome=Outcome.PASSED, authenticity=authenticity, **more)


def fake(make, name="test_a", *programs, reasons=("no-contact",), **more):
    seen = Evidence(children=tuple(Child(program, make.T0) for program in programs), **more.pop("seen", {}))
    return passed(make, name, FAKE, evidence=seen, reasons=reasons, **more)


def request(make, trace_id, *, second=1.0, revision=NOW, status=200, agent="curl/8.5.0"):
    told = {"method": "GET", "url": "http://x/api", "status": status, "latency_s": 0.1, "user_agent": agent}
    return make.entry(f"GET /api {status}", second, log="requests", revision=revision, trace_id=trace_id, request=told)


def one(results):
    (result,) = results
    return result.authenticity, result.reasons


def test_a_pass_that_another_revision_answered_is_fake(make):
    result = passed(make)
    asked = [request(make, result.trace_id), request(make, result.trace_id, revision="backend-00002")]
    kind, reasons = one(reassess([result], asked, {NOW}, complete=False))
    assert kind is FAKE
    assert reasons == ("wrong-revision", "answered by backend-00002, expected backend-00001")


def test_a_pass_without_contact_that_another_revision_answered_says_so_first(make):
    result = fake(make)
    kind, reasons = one(reassess([result], [request(make, result.trace_id, revision="old")], {NOW}, complete=True))
    assert (kind, reasons[0]) == (FAKE, "wrong-revision")


def test_other_traces_and_other_logs_say_nothing_of_it(make):
    result = passed(make)
    entries = [
        request(make, "another", revision="backend-00002"),
        make.entry("x", log="stderr", revision="backend-00002", trace_id=result.trace_id),
        request(make, result.trace_id),
    ]
    assert reassess([result], entries, {NOW}, complete=True) == [result]


def test_where_no_revision_is_under_test_nothing_can_be_said(make):
    result = fake(make)
    assert reassess([result], [request(make, result.trace_id, revision="x")], set(), complete=True) == [result]


@pytest.mark.parametrize("kind", Authenticity)
@pytest.mark.parametrize(("expected", "complete"), [((), True), ((), False), ((NOW,), False)])
def test_a_log_without_requests_that_ends_too_early_need_not_see_any_evidence(make, kind, expected, complete):
    result = replace(fake(make, "test_a", "curl"), authenticity=kind)
    vouching = Vouching([make.entry("x", log="stderr", trace_id=result.trace_id)], expected, complete=complete)
    assert not vouching.asks_for_evidence
    assert vouching.take(result) is result
    assert vouching.perhaps([request(make, "another")]) == {}


@pytest.mark.parametrize(("asked", "complete"), [(True, False), (False, True)])
def test_requests_and_a_log_that_is_there_to_its_end_are_held_against_evidence(make, asked, complete):
    entries = [request(make, "another")] if asked else []
    assert Vouching(entries, (NOW,), complete=complete).asks_for_evidence


def test_a_trace_in_the_request_log_is_an_exchange_whoever_sent_it(make):
    result = fake(make)
    assert one(reassess([result], [request(make, result.trace_id)], {NOW}, complete=False)) == (REAL, (BY_TRACE,))


def test_requests_that_were_seen_and_not_counted_vouch_for_nothing(make):
    result = fake(make, seen={"exchanges": (make.exchange(200),)})
    asked = [request(make, result.trace_id)]
    assert reassess([result], asked, {NOW}, complete=True) == [result]
    asked.append(request(make, result.trace_id, second=2))
    assert one(reassess([result], asked, {NOW}, complete=True)) == (REAL, (BY_TRACE,))


def test_a_url_that_nobody_named_is_the_environment_s_once_its_log_shows_the_trace(make):
    asked_there = {"exchanges": (make.exchange(200),), "contacts": (make.contact(),)}
    result = fake(make, seen=asked_there, reasons=("no-contact", "talked only to 127.0.0.1:4000"))
    assert one(reassess([result], [request(make, result.trace_id)], {NOW}, complete=True)) == (REAL, (BY_TRACE,))


@pytest.mark.parametrize("status", [0, 499])
def test_a_request_that_was_never_answered_vouches_for_nothing(make, status):
    result = fake(make)
    assert reassess([result], [request(make, result.trace_id, status=status)], {NOW}, complete=True) == [result]


@pytest.mark.parametrize("judged", [REAL, FAKE])
def test_a_server_error_that_only_the_log_shows_makes_it_suspect(make, judged):
    result = passed(make, authenticity=judged)
    kind, reasons = one(reassess([result], [request(make, result.trace_id, status=500)], {NOW}, complete=True))
    assert kind is SUSPECT
    assert reasons[0] == "GET /api 500, by the request log"


def test_a_changed_source_is_not_forgotten_over_it(make):
    changed = CHANGED + "tests/test_x.py"
    result = fake(make, reasons=("no-contact", changed))
    kind, reasons = one(reassess([result], [request(make, result.trace_id)], {NOW}, complete=True))
    assert (kind, reasons) == (SUSPECT, (changed, BY_TRACE))


def test_what_did_not_pass_is_left_alone(make):
    result = make.result(outcome=Outcome.FAILED)
    assert reassess([result], [request(make, result.trace_id)], {NOW}, complete=True) == [result]


# ------------------------------------------------------------------------------------------- requests of nobody's trace


def test_a_request_that_only_this_test_s_program_can_have_sent_makes_it_suspect(make):
    result = fake(make, "test_a", "curl")
    kind, reasons = one(reassess([result], [request(make, "strange")], {NOW}, complete=True))
    assert kind is SUSPECT
    assert "started curl" in reasons[0]
    assert "GET /api 200" in reasons[0]


@pytest.mark.parametrize(
    "told",
    [
        {"second": -0.5},  # before the test
        {"second": 7.5},  # after it
        {"agent": "netra-loop (night)"},  # our own
        {"revision": "backend-00009"},
        {"status": 499},
    ],
)
def test_a_request_that_is_not_this_test_s_says_nothing_of_it(make, told):
    result = fake(make, "test_a", "curl")
    assert reassess([result], [request(make, "strange", **told)], {NOW}, complete=True) == [result]


def test_a_request_within_what_passed_between_its_phases_is_still_this_test_s(make):
    result = fake(make, "test_a", "curl", duration_s=2.0)
    asked = [request(make, "strange", second=2.004)]
    assert one(reassess([result], asked, {NOW}, complete=True))[0] is SUSPECT


@pytest.mark.parametrize(("second", "whose"), [(2.001, "test_a"), (2.003, "test_b")])
@pytest.mark.parametrize("programs", [("curl",), ()])
def test_nothing_is_a_test_s_once_its_worker_began_the_next(make, second, whose, programs):
    following = fake(make, "test_b", *programs, started_at=make.at(2.002))
    both = [fake(make, "test_a", "curl", duration_s=2.0), following]
    changed = [
        result.id.rpartition("::")[2]
        for result in reassess(both, [request(make, "strange", second=second)], {NOW}, complete=True)
        if result.authenticity is SUSPECT
    ]
    assert changed == ([whose] if programs or whose == "test_a" else [])


def test_one_that_runs_has_asked_rather_than_one_that_has_just_ended_elsewhere(make):
    over = fake(make, "test_a", "curl", duration_s=2.0)
    began = fake(make, "test_b", "curl", started_at=make.at(2.001), worker="gw1")
    first, second = reassess([over, began], [request(make, "strange", second=2.003)], {NOW}, complete=True)
    assert (first.authenticity, second.authenticity) == (FAKE, SUSPECT)


def test_while_the_log_is_not_complete_nothing_is_concluded_from_time(make):
    result = fake(make, "test_a", "curl")
    assert reassess([result], [request(make, "strange")], {NOW}, complete=False) == [result]


def test_two_tests_that_both_started_programs_are_not_told_apart(make):
    both = [fake(make, "test_a", "curl"), fake(make, "test_b", "curl", started_at=make.at(0.5))]
    assert reassess(both, [request(make, "strange", second=1)], {NOW}, complete=True) == both
    first, second = reassess(both, [request(make, "strange", second=0.2)], {NOW}, complete=True)
    assert (first.authenticity, second.authenticity) == (SUSPECT, FAKE)


def talking(make, **more):
    """For two seconds, without its trace."""
    return Evidence(contacts=(replace(make.contact(), last_at=make.at(2.0)),), **more)


def test_a_test_that_talked_without_its_trace_may_have_sent_it(make):
    bare = passed(make, "test_b", evidence=talking(make))
    shell = fake(make, "test_a", "sh")
    assert reassess([shell, bare], [request(make, "strange")], {NOW}, complete=True) == [shell, bare]
    traced = [request(make, "strange"), request(make, bare.trace_id)]
    assert reassess([shell, bare], traced, {NOW}, complete=True)[0].authenticity is SUSPECT


def test_what_came_when_the_other_test_was_seen_to_be_silent_is_not_the_other_s(make):
    bare, shell = passed(make, "test_b", evidence=talking(make)), fake(make, "test_a", "sh")
    asked = [request(make, "strange", second=2.5)]
    assert reassess([shell, bare], asked, {NOW}, complete=True)[0].authenticity is SUSPECT


def test_a_user_agent_that_names_the_program_tells_it_from_others(make):
    bare = passed(make, "test_b", evidence=Evidence(contacts=(make.contact(),)))
    node, curl = fake(make, "test_c", "node"), fake(make, "test_a", "/usr/bin/curl")
    judged = reassess([curl, bare, node], [request(make, "strange")], {NOW}, complete=True)
    assert [one.authenticity for one in judged] == [SUSPECT, REAL, FAKE]


def test_a_python_client_that_talked_untraced_is_not_told_from_a_python_program(make):
    seen = talking(make, exchanges=(make.exchange(200),))
    client, bare = passed(make, "test_b", evidence=seen), passed(make, "test_c", evidence=make.evidence())
    python = fake(make, "test_a", "python3.11")
    asked = [request(make, "strange", agent="Python-urllib/3.11")]
    assert reassess([python, client], asked, {NOW}, complete=True) == [python, client]
    assert reassess([python, bare], asked, {NOW}, complete=True)[0].authenticity is SUSPECT


def test_a_patched_client_or_no_program_stays_fake(make):
    patched = fake(make, "test_a", "curl", reasons=("mocked", "no-contact"), seen={"mocked": ("httpx",)})
    idle = fake(make, "test_b")
    assert reassess([patched, idle], [request(make, "strange")], {NOW}, complete=True) == [patched, idle]


def having(make, name="test_a", *children, **seen):
    told = Evidence(children=tuple(children), **seen)
    return passed(make, name, FAKE, evidence=told, reasons=("no-contact",))


def test_a_program_that_a_shared_fixture_holds_can_have_sent_it(make):
    result = having(make, "test_a", Child("node", make.T0, shared=True))
    kind, reasons = one(reassess([result], [request(make, "strange", agent="Mozilla/5.0")], {NOW}, complete=True))
    assert kind is SUSPECT
    assert reasons[0].startswith("beside node of a shared fixture, and a request without a test's trace came")


def test_what_two_tests_have_of_their_fixtures_is_not_told_apart(make):
    both = [having(make, name, Child("node", make.T0, shared=True)) for name in ("test_a", "test_b")]
    assert reassess(both, [request(make, "strange", agent="Mozilla/5.0")], {NOW}, complete=True) == both


def test_what_the_end_of_a_shared_fixture_did_is_not_the_test_s(make):
    cleaned = having(make, "test_a", Child("curl", make.T0, apart=True))
    asked = having(make, "test_a", Child("sh", make.T0), exchanges=(replace(make.exchange(200), apart=True),))
    for result in (cleaned, asked):
        assert reassess([result], [request(make, "of the fixture")], {NOW}, complete=True) == [result]


def test_a_program_of_the_test_s_own_is_told_from_the_fixture_s_by_its_name(make):
    result = having(make, "test_a", Child("curl", make.T0), Child("node", make.T0, apart=True))
    kind, _ = one(reassess([result], [request(make, "strange")], {NOW}, complete=True))
    assert kind is SUSPECT
    assert reassess([result], [request(make, "strange", agent="node")], {NOW}, complete=True) == [result]


def test_what_a_fixture_s_end_asked_without_the_test_s_trace_takes_nothing_from_it(make):
    result = having(make, "test_a", Child("curl", make.T0), exchanges=(replace(make.exchange(200), apart=True),))
    asked = [request(make, result.trace_id), request(make, "of the fixture", second=6)]
    assert one(reassess([result], asked, {NOW}, complete=True)) == (REAL, (BY_TRACE,))


def test_asked_again_it_says_the_same(make):
    results = [
        fake(make, "test_a", "curl"),
        fake(make, "test_b"),
        passed(make, "test_c"),
        passed(make, "test_d"),
        make.result("test_e"),
    ]
    entries = [
        request(make, "strange"),
        request(make, results[1].trace_id),
        request(make, results[2].trace_id, revision="old"),
        request(make, results[3].trace_id, status=503),
    ]
    once = reassess(results, entries, {NOW}, complete=True)
    assert [result.authenticity for result in once] == [SUSPECT, REAL, FAKE, SUSPECT, Authenticity.NOT_APPLICABLE]
    assert reassess(once, entries, {NOW}, complete=True) == once
