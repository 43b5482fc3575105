"""Who is let in, and what permissions a caller is said to have."""

import httpx
import pytest
from google.iam.v1 import iam_policy_pb2

INVOKE = "run.routes.invoke"


async def identity(turnable, audience):
    path = f"http://{turnable.metadata}/computeMetadata/v1/instance/service-accounts/default/identity"
    async with httpx.AsyncClient() as http:
        answer = await http.get(path, params={"audience": audience}, headers={"Metadata-Flavor": "Google"})
    return answer.text


async def get(url, token=None, header="Authorization"):
    async with httpx.AsyncClient() as http:
        return await http.get(url, headers={header: f"Bearer {token}"} if token else {})


async def test_everybody_is_let_in_where_nothing_is_protected(odd):
    assert (await get((await odd.update()).uri)).status_code == 200


@pytest.mark.parametrize("header", ["Authorization", "X-Serverless-Authorization"])
async def test_a_protected_service_wants_a_token_for_its_own_url(odd, turnable, header):
    service = await odd.update()
    turnable.turn(protected=[odd.id])
    refused = await get(service.uri)
    assert (refused.status_code, refused.headers["content-type"]) == (403, "text/html; charset=UTF-8")
    assert "<title>403 Forbidden</title>" in refused.text
    assert (await get(service.uri, await identity(turnable, service.uri), header)).status_code == 200
    other = await get(service.uri, await identity(turnable, "https://elsewhere.example.com"), header)
    assert other.status_code == 401
    assert 'error="invalid_token"' in other.headers["www-authenticate"]
    assert (await get(service.uri, "no.token.atall", header)).status_code == 401


async def test_a_tags_url_is_an_audience_too(odd, turnable):
    traffic = [{"type_": 1, "percent": 100, "tag": "mine"}]
    url = (await odd.update(traffic=traffic)).traffic_statuses[0].uri
    turnable.turn(protected=[odd.id])
    assert (await get(url)).status_code == 403
    assert (await get(url, await identity(turnable, url))).status_code == 200


async def test_a_service_whose_invokers_are_not_checked_lets_everybody_in(odd, turnable):
    turnable.turn(protected=[odd.id])
    assert (await get((await odd.update(invoker_iam_disabled=True)).uri)).status_code == 200


async def test_the_policy_says_who_is_let_in(odd, turnable):
    await odd.update()
    asked = iam_policy_pb2.GetIamPolicyRequest(resource=odd.name)
    assert [list(item.members) for item in (await odd.services.get_iam_policy(asked)).bindings] == [["allUsers"]]
    turnable.turn(protected=[odd.id])
    assert "allUsers" not in str(await odd.services.get_iam_policy(asked))


async def test_permissions_that_are_held(odd, turnable):
    await odd.update()
    turnable.turn(deny=["run.services.delete"])
    asked = iam_policy_pb2.TestIamPermissionsRequest(
        resource=odd.name, permissions=["run.services.get", "run.services.delete"]
    )
    assert list((await odd.services.test_iam_permissions(asked)).permissions) == ["run.services.get"]


async def test_of_what_is_not_there_nothing_is_held_and_nothing_is_said(odd):
    asked = iam_policy_pb2.TestIamPermissionsRequest(resource=f"{odd.name}x", permissions=["run.services.get"])
    assert list((await odd.services.test_iam_permissions(asked)).permissions) == []


@pytest.mark.parametrize(
    ("path", "flavor", "status"),
    [
        ("/", "Google", 200),
        ("/computeMetadata/v1/instance/service-accounts/default/email", "Google", 200),
        ("/computeMetadata/v1/instance/service-accounts/default/token", "Google", 200),
        ("/computeMetadata/v1/instance/service-accounts/default/identity", "Google", 400),
        ("/computeMetadata/v1/instance/service-accounts/other/email", "Google", 404),
        ("/computeMetadata/v1/instance/service-accounts/default/email", "", 403),
    ],
)
async def test_the_metadata_server(turnable, path, flavor, status):
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"http://{turnable.metadata}{path}", headers={"Metadata-Flavor": flavor})
    assert (answer.status_code, answer.headers["metadata-flavor"]) == (status, "Google")
