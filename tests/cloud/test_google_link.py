"""The connection: whom it goes to, and as whom."""

import json

import grpc.aio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.cloud import run_v2

from netra_loop.cloud.google_link import Link, target_of
from netra_loop.errors import CloudCallFailed, EnvironmentFailed

SERVICE = "projects/p/locations/l/services/s"


@pytest.fixture
async def link():
    made = []

    def make(*how):
        made.append(Link(*how))
        return made[-1]

    yield make
    for one in made:
        await one.close()


@pytest.fixture
def account(tmp_path, monkeypatch):
    """Application Default Credentials: a service account's file."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    file = tmp_path / "account.json"
    fields = {
        "type": "service_account",
        "client_email": "deployer@shop.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:9/token",
        "private_key": pem,
        "project_id": "shop",
    }
    file.write_text(json.dumps(fields))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))


@pytest.fixture
async def front_door():
    """A server that answers who asked, in the message of its refusal."""

    class Asked(grpc.GenericRpcHandler):
        def service(self, details):
            sent = dict(details.invocation_metadata).get("authorization", "nobody")

            async def refuse(request, context):
                await context.abort(grpc.StatusCode.ABORTED, sent)

            async def refuse_stream(requests, context):
                await context.abort(grpc.StatusCode.ABORTED, sent)
                yield b""

            if details.method.endswith("TailLogEntries"):
                return grpc.stream_stream_rpc_method_handler(refuse_stream)
            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Asked(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"http://127.0.0.1:{port}"
    await server.stop(grace=None)


async def who_asks(link):
    said = []
    for call in (
        link.services.get_service(name=SERVICE, retry=None, timeout=5),
        link.revisions.get_revision(name=f"{SERVICE}/revisions/r", retry=None, timeout=5),
        link.logging.list_log_entries(resource_names=["projects/p"], retry=None, timeout=5),
    ):
        with pytest.raises(Exception, match=r"Bearer|nobody") as caught:
            await call
        said.append(caught.value.message)

    async def nothing():
        yield {"resource_names": ["projects/p"]}

    while len(said) < 4:
        stream = link.logging.tail_log_entries(requests=nothing(), retry=None, timeout=5, metadata=link.stream_metadata)
        with pytest.raises(Exception, match=r"Bearer|nobody|Internal error from Core") as caught:
            await anext(aiter(await stream))
        # gRPC's own word where the server has hung up before our request was written: what it said is not heard then
        said += [told for told in [caught.value.message] if "from Core" not in told]
    return said


async def test_a_token_goes_with_every_call_to_an_endpoint(link, front_door):
    assert set(await who_asks(link(front_door, "t0ken"))) == {"Bearer t0ken"}
    assert set(await who_asks(link(front_door))) == {"nobody"}


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("http://127.0.0.1:9010", "127.0.0.1:9010"),
        ("http://localhost:9010/", "localhost:9010"),
        ("127.0.0.1:9010", "127.0.0.1:9010"),
        ("unix:/run/x/e.sock", "unix:/run/x/e.sock"),
        ("unix:///run/x/e.sock", "unix:/run/x/e.sock"),
    ],
)
def test_endpoints_are_named_as_grpc_does(endpoint, target):
    assert target_of(endpoint) == target


def test_an_endpoint_that_is_not_plain_text_is_refused():
    with pytest.raises(EnvironmentFailed, match="plain-text") as caught:
        target_of("https://run.googleapis.com")
    assert "endpoint" in caught.value.hint


async def test_google_is_reached_at_two_places_as_the_default_account(link, account):
    made = link(None)
    assert made.principal is None
    await made.ready()
    await made.ready()
    assert made.principal == "deployer@shop.iam.gserviceaccount.com"
    assert made.services.transport.host == "run.googleapis.com:443"
    assert made.logging.transport.host == "logging.googleapis.com:443"
    assert made.revisions.transport.grpc_channel is made.services.transport.grpc_channel
    assert isinstance(made.services, run_v2.ServicesAsyncClient)


async def test_without_credentials_the_login_is_named(link, tmp_path, monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    with pytest.raises(CloudCallFailed) as caught:
        await link(None).ready()
    assert (caught.value.code, caught.value.exit_code) == ("UNAUTHENTICATED", 3)
    assert caught.value.hint == "gcloud auth application-default login"
