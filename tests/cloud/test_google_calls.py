"""How often and how long a call is tried, told by an API that says what it is told to say."""

import pytest
from google.api_core import exceptions
from google.auth.exceptions import RefreshError, TransportError
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2

from netra_loop.cloud.google_calls import Calls
from netra_loop.errors import AccessRefused, CloudCallFailed


class Clock:
    at = 0.0

    def monotonic(self):
        return self.at

    async def sleep(self, seconds):
        self.at += seconds


class Account:
    """Stands in for the link: who calls, and how the credentials are renewed."""

    principal = "deployer@shop.iam.gserviceaccount.com"

    def __init__(self, endpoint=None, trouble=None):
        self.endpoint = endpoint
        self.renewed = 0
        self._trouble = trouble

    async def ready(self):
        pass

    async def renew(self):
        self.renewed += 1
        if self._trouble is not None:
            raise self._trouble


class Api:
    """Raises what it was given, one after the other, then answers."""

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    return []


@pytest.fixture
def calls(clock, told):
    async def on_wait(why, seconds):
        told.append((why, seconds))

    def make(account=None):
        return Calls(account or Account(), clock, "shop", on_wait)

    return make


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ServiceUnavailable("gone"),
        exceptions.DeadlineExceeded("late"),
        exceptions.ResourceExhausted("quota"),
        exceptions.InternalServerError("oops"),
        TransportError("reset"),
    ],
)
async def test_what_passes_is_tried_again_when_it_only_looks(calls, error):
    api = Api(*[error] * 4)
    assert await calls().read("looking", api) == "answer"
    assert api.calls == 5


async def test_a_change_is_made_once(calls):
    api = Api(exceptions.ServiceUnavailable("gone"))
    with pytest.raises(CloudCallFailed) as caught:
        await calls().once("changing", api)
    assert (api.calls, caught.value.retryable) == (1, True)


async def test_what_does_not_pass_is_not_tried_again(calls):
    api = Api(exceptions.InvalidArgument("no"))
    with pytest.raises(CloudCallFailed):
        await calls().read("looking", api)
    assert api.calls == 1
    assert await calls().read_or_none("looking", Api(exceptions.NotFound("nothing"))) is None


async def test_the_pause_that_the_api_asks_for_is_kept_and_told(calls, clock, told):
    info = error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=7))
    await calls().read("reading service 'web'", Api(exceptions.ResourceExhausted("later", details=[info])))
    assert 7 <= clock.at < 8
    assert told == [
        ("a quota is used up (RESOURCE_EXHAUSTED): reading service 'web'", pytest.approx(clock.at, abs=0.01))
    ]


async def test_a_wait_for_an_api_that_fails_tells_what_it_says(calls, told):
    await calls().read("looking", Api(*[exceptions.InternalServerError("shard 7 is down")] * 12))
    assert {why for why, _ in told} == {"the API failed (INTERNAL): looking: shard 7 is down"}
    with pytest.raises(CloudCallFailed) as caught:
        await calls().once("changing", Api(exceptions.InternalServerError("down")))
    assert caught.value.hint is not None


async def test_short_waits_are_told_once_they_add_up(calls, clock, told):
    await calls().read("looking", Api(*[exceptions.ServiceUnavailable("gone")] * 12))
    assert all(seconds >= 1 for _, seconds in told)
    assert clock.at - sum(seconds for _, seconds in told) < 1.1


@pytest.mark.parametrize(("endpoint", "patience_s"), [(None, 120), ("http://127.0.0.1:1", 120), ("unix:/x", 30)])
async def test_patience_ends_and_the_last_answer_is_given(calls, clock, endpoint, patience_s):
    api = Api(*[exceptions.ServiceUnavailable("gone")] * 1000)
    with pytest.raises(CloudCallFailed, match="gone"):
        await calls(Account(endpoint)).read("looking", api)
    assert patience_s - 33 <= clock.at <= patience_s


async def test_credentials_are_renewed_once(calls):
    account = Account()
    assert await calls(account).once("looking", Api(exceptions.Unauthenticated("old"))) == "answer"
    assert account.renewed == 1


@pytest.mark.parametrize("trouble", [None, RefreshError("Reauthentication is needed.")])
async def test_credentials_refused_again_or_beyond_renewal_need_a_person(calls, trouble):
    account = Account(trouble=trouble)
    with pytest.raises(AccessRefused) as caught:
        await calls(account).read("looking", Api(*[exceptions.Unauthenticated("old")] * 9))
    assert account.renewed == 1
    assert caught.value.hint.startswith("gcloud auth application-default login")


async def test_a_token_endpoint_that_is_out_of_reach_is_no_refusal(calls):
    account = Account(trouble=TransportError("no route"))
    with pytest.raises(CloudCallFailed) as caught:
        await calls(account).once("looking", Api(exceptions.Unauthenticated("old")))
    assert (caught.value.code, caught.value.exit_code) == ("UNAVAILABLE", 3)


async def test_whoever_has_a_token_for_an_endpoint_is_told_where_it_goes(calls):
    with pytest.raises(AccessRefused) as caught:
        await calls(Account("http://127.0.0.1:1")).once("looking", Api(*[exceptions.Unauthenticated("no")] * 2))
    assert "NETRA_LOOP_CLOUD_TOKEN" in caught.value.hint
