"""What an HTTP API does to a request before a Lambda sees it: the path is decoded, and nothing has more than 6 MiB."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from e2e_aws.deployed import Deployed
from support.emulator import eventually
from support.odd_ids import ELSEWHERE, IN_A_PATH, in_a_path, in_the_query

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def odd(deployment: Deployed) -> Deployed:
    """The account, with an event under each odd id."""
    ids = [*IN_A_PATH, *ELSEWHERE]
    assert (
        deployment.send_all([{"name": "odd/id", "id": event_id, "data": {"n": n}} for n, event_id in enumerate(ids)])
        == ids
    )
    eventually(lambda: all(deployment.ask("GET", in_the_query(event_id))[0] == 200 for event_id in ids))
    return deployment


@pytest.mark.parametrize("event_id", IN_A_PATH)
def test_an_id_in_a_path_is_decoded_once(odd, event_id):
    assert odd.get(in_a_path(event_id))["id"] == event_id
    assert odd.get(in_a_path(event_id, "/runs")) == []


@pytest.mark.parametrize("event_id", [*IN_A_PATH, *ELSEWHERE])
def test_every_id_is_found_by_the_query(odd, event_id):
    assert odd.get(in_the_query(event_id))["id"] == event_id
    assert odd.get(in_the_query(event_id, "/runs")) == []


def test_a_page_ends_before_it_is_too_large_for_a_lambda(deployment):
    ids = [deployment.send("page/large", {"x": '"' * 350_000}) for _ in range(9)]
    eventually(lambda: all(deployment.ask("GET", f"/v1/events/{event_id}")[0] == 200 for event_id in ids))
    found, cursor = [], ""
    while cursor is not None:
        status, answer = deployment.ask("GET", f"/v1/events?name=page/large&limit=1000{cursor and f'&cursor={cursor}'}")
        assert status == 200, answer
        found += [event["id"] for event in answer["data"]]
        cursor = answer["cursor"]
    assert sorted(found) == sorted(ids)


def test_a_value_too_large_for_an_answer_is_where_a_redirect_leads(deployment):
    run = deployment.at("completed", deployment.send("story/huge", {"bytes": 5 * MIB}), "stories.huge")
    assert run["output"] == 5 * MIB
    large = run["steps"]["make"]["output"]
    assert large["bytes"] == 5 * MIB + 2
    key = {"Authorization": f"Bearer {deployment.api_key}"}
    api = {"Host": f"{deployment.emulator.api}.execute-api.localhost:{deployment.emulator.port}"}
    with closing(http.client.HTTPConnection("127.0.0.1", deployment.emulator.port, timeout=60)) as connection:
        connection.request("GET", urlsplit(large["$large"]).path, headers=api | key)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (303, b"")
        where = urlsplit(answer.headers["location"])
        connection.request("GET", f"{where.path}?{where.query}", headers={"Host": where.netloc})  # no key
        fetched = connection.getresponse().read()
    assert json.loads(fetched) == {"data": "x" * 5 * MIB}


def test_a_body_too_large_for_a_lambda_never_reaches_it(deployment):
    body = json.dumps({"name": "body/large", "data": {"x": '"' * 2_050_000}}).encode()
    status, _ = deployment.emulator.ask(
        "POST", f"/e/{deployment.event_key}", body, {"Content-Type": "application/json"}
    )
    assert status == 413
