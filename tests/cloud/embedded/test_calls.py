"""Every call is counted; those that a knob names are refused or spoiled, before or after their work."""

import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from netra_loop.cloud.embedded.calls import read_calls
from netra_loop.cloud.embedded.knobs import FILE, Failure


async def get(api):
    return await api.services.get_service(name=api.name, retry=None, timeout=30)


async def begin(api):
    request = run_v2.UpdateServiceRequest(service=api.service(), allow_missing=True)
    return await api.services.update_service(request, retry=None, timeout=30)


async def test_each_call_is_counted_before_it_is_answered(odd, turnable):
    before = read_calls(turnable.folder).get("GetService", 0)
    for number in range(1, 4):
        with pytest.raises(exceptions.NotFound):
            await get(odd)
        assert read_calls(turnable.folder)["GetService"] == before + number


async def test_a_call_fails_as_often_as_it_was_told_and_then_works_again(odd, turnable):
    turnable.turn(fail=[Failure("GetService", "UNAVAILABLE", times=2, skip=1, message="gone for a while")])
    seen = []
    for _ in range(4):
        with pytest.raises(exceptions.GoogleAPICallError) as caught:
            await get(odd)
        seen.append(type(caught.value))
    assert seen == [exceptions.NotFound, *2 * [exceptions.ServiceUnavailable], exceptions.NotFound]


async def test_before_its_effect_nothing_happened_and_after_it_only_the_answer_is_lost(odd, turnable):
    turnable.turn(fail=[{"call": "UpdateService"}])
    with pytest.raises(exceptions.ServiceUnavailable, match="injected UNAVAILABLE on UpdateService"):
        await begin(odd)
    with pytest.raises(exceptions.NotFound):
        await get(odd)
    turnable.turn(fail=[{"call": "UpdateService", "code": "INTERNAL", "after_effect": True}])
    with pytest.raises(exceptions.InternalServerError):
        await begin(odd)
    assert (await get(odd)).name == odd.name


async def test_a_permission_that_is_missing_is_named_with_its_resource(odd, turnable):
    turnable.turn(deny=["run.services.get"])
    with pytest.raises(
        exceptions.PermissionDenied, match=f"Permission 'run.services.get' denied on resource '{odd.name}'"
    ):
        await get(odd)


async def test_a_file_of_knobs_that_is_none_is_said_with_each_call(odd, turnable):
    (turnable.folder / FILE).write_text('{"nonsense": 1}')
    with pytest.raises(exceptions.InternalServerError, match="unknown knob 'nonsense'"):
        await get(odd)
