"""Lists of traffic targets, held against what the API takes: they add up to 100, no tag twice, types and names fit."""

from google.cloud import run_v2
from hypothesis import given
from hypothesis import strategies as st

from netra_loop.cloud import google_targets as targets
from netra_loop.cloud import google_views as views
from netra_loop.cloud.google_views import LATEST

NAMES = ("s-00001-a", "s-00002-b", "s-00003-c")


def target(name="", percent=0, tag=""):
    kind = targets.BY_NAME if name else LATEST
    return run_v2.TrafficTarget(type_=kind, revision=name, percent=percent, tag=tag)


def service(traffic, *, ready=NAMES[1], failed=False, statuses=None):
    state = views.State.CONDITION_FAILED if failed else views.State.CONDITION_SUCCEEDED
    return run_v2.Service(
        name="projects/p/locations/l/services/s",
        traffic=traffic,
        traffic_statuses=[
            run_v2.TrafficTargetStatus(type_=one.type_, revision=one.revision, percent=one.percent, tag=one.tag)
            for one in (traffic if statuses is None else statuses)
        ],
        latest_ready_revision=f"x/{ready}" if ready else "",
        terminal_condition=run_v2.Condition(type_="Ready", state=state),
    )


@st.composite
def services(draw):
    first = draw(st.integers(0, 100))
    names = st.sampled_from(("", *NAMES))
    shares = [target(draw(names), first), target(draw(names), 100 - first)]
    tags = draw(st.lists(st.sampled_from("abc"), unique=True))
    shares += [target(draw(names), 0, tag) for tag in tags]
    if draw(st.booleans()) and "d" not in tags:
        shares[0].tag = "d"
    return service(draw(st.permutations(shares)), ready=draw(st.sampled_from(("", NAMES[1]))))


@given(services(), st.sampled_from("abcde"))
def test_every_list_is_one_that_the_api_takes(present, tag):
    for made in (
        targets.newest(present),
        targets.all_to(present, NAMES[0]),
        targets.beside(present, "s-00009-n", tag),
        targets.without_tag(present.traffic, tag),
    ):
        assert sum(one.percent for one in made) == 100
        tags = [one.tag for one in made if one.tag]
        assert len(tags) == len(set(tags))
        assert all((one.type_ == targets.BY_NAME) == bool(one.revision) for one in made)


@given(services(), st.sampled_from("abcde"))
def test_a_revision_beside_changes_nobodys_share_and_no_other_tag(present, tag):
    made = targets.beside(present, "s-00009-n", tag)
    after = service(made, ready=views.short(present.latest_ready_revision))
    assert views.shares(after) == views.shares(present)
    assert [one.revision for one in made if one.tag == tag] == ["s-00009-n"]
    assert {one.tag for one in made} == {one.tag for one in present.traffic if one.tag != tag} | {tag, ""}


def test_what_serves_is_pinned_so_that_a_new_latest_gets_nothing():
    made = targets.beside(service([]), "s-00009-n", "new")
    assert targets.same(made, [target(NAMES[1], 100), target("s-00009-n", 0, "new")])


def test_where_nothing_serves_there_is_nothing_to_pin():
    assert targets.same(targets.beside(None, "n", "new"), [target("", 100), target("n", 0, "new")])
    assert targets.same(targets.beside(service([], ready=""), "n", "new"), [target("", 100), target("n", 0, "new")])


def test_after_a_change_that_failed_what_is_done_counts_and_not_what_was_asked():
    present = service([target("gone", 100)], failed=True, statuses=[target(NAMES[0], 100)])
    assert targets.same(targets.pinned(present), [target(NAMES[0], 100)])


def test_traffic_that_is_split_is_not_all_to_one():
    split = service([target(NAMES[0], 60), target(NAMES[1], 40)])
    assert views.serving_name(split) == NAMES[0]
    assert not views.serves_alone(split, NAMES[0])
    assert not targets.asks_for(split, NAMES[0])
    assert views.serves_alone(service([target(NAMES[0], 60), target(NAMES[0], 40)]), NAMES[0])
