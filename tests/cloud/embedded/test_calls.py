"""Every call is counted; those that a knob names are refused or spoiled, before or after their work."""

import asyncio
import contextlib

import grpc
import grpc.aio
import pytest
from google.api_core import exceptions
from google.cloud import run_v2

from netra_loop.cloud.embedded.calls import Gate, read_calls
from netra_loop.cloud.embedded.knobs import FILE, Failure, KnobFile, set_knobs


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


async def test_a_call_may_only_be_slow(odd, turnable):
    await odd.update()
    turnable.turn(fail=[Failure("GetService", "OK", hold_s=60)])
    with pytest.raises(exceptions.DeadlineExceeded):
        await odd.services.get_service(name=odd.name, retry=None, timeout=0.2)
    assert (await get(odd)).name == odd.name


@pytest.fixture
async def echo(tmp_path):
    """A stream that answers what it is told, behind the gate."""

    async def answer(requests, _context):
        async for request in requests:
            yield request

    server = grpc.aio.server(interceptors=[Gate(tmp_path, KnobFile(tmp_path))])
    handlers = {"TailLogEntries": grpc.stream_stream_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream("/echo/TailLogEntries")
    await server.stop(grace=None)


async def told(echo, said):
    """What came back, and the status at the end. The client is the blocking one: the other may tell of a message that
    it could not send any more instead of the status that the server ended the stream with.
    """

    def ask():
        call = echo(iter(said), timeout=60)
        back = []
        with contextlib.suppress(grpc.RpcError):
            back.extend(call)
        return back, call.code().name

    return await asyncio.to_thread(ask)


@pytest.mark.parametrize(
    ("knobs", "outcome"),
    [
        ({}, ([b"1", b"2"], "OK")),
        ({"deny": ["logging.logEntries.list"]}, ([], "PERMISSION_DENIED")),
        ({"fail": [Failure("TailLogEntries")]}, ([], "UNAVAILABLE")),
        ({"fail": [Failure("TailLogEntries", after_effect=True)]}, ([b"1"], "UNAVAILABLE")),
    ],
)
async def test_a_stream_is_counted_and_spoiled_too(echo, tmp_path, knobs, outcome):
    set_knobs(tmp_path, **knobs)
    assert await told(echo, [b"1", b"2"]) == outcome
    assert read_calls(tmp_path) == {"TailLogEntries": 1}
