"""The doors' handlers on the AWS adapters (moto's AWS, in this process): keys, publishing, and what /v1 does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import http_api

from tidemill import App
from tidemill.aws import world as worlds
from tidemill.aws.calls.client import Client
from tidemill.aws.calls.transport import Request
from tidemill.aws.dynamo.registry import register
from tidemill.aws.dynamo.table import Table
from tidemill.aws.function import app_send as sending
from tidemill.aws.settings import settings
from tidemill.core.journal import StepDone
from tidemill.engine.drive.claim import open_run
from tidemill.limits import ANSWER_BYTES, MIB
from tidemill.model import FunctionSpec
from tidemill.ports import APPENDED, World
from tidemill_lambdas import events
from tidemill_lambdas.keys.stored import api_keys, event_keys
from tidemill_local.testing import moto

SPEC = FunctionSpec("shop.charge", "shop", "charge")
KEY = "a-key-of-the-mill-0123456789"
FAR = 2**45


class Context:
    aws_request_id = "r1"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


@dataclass
class Mill:
    client: Client
    world: World
    queue: str  # the function's
    bus_queue: str  # where all that is published arrives

    def api(self, method: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, Any]:
        status, _, content = self.asked(method, path, body, key)
        return status, json.loads(content)

    def asked(self, method: str, path: str, body: Any = None, key: str = KEY) -> tuple[int, dict[str, str], bytes]:
        from tidemill_lambdas.api.entry import handler

        asked = _request(method, path, body, {"authorization": f"Bearer {key}"})
        return http_api.answered(lambda request: handler(request, Context()), asked)

    def ingest(self, path: str, body: Any) -> tuple[int, Any]:
        from tidemill_lambdas.ingest.entry import handler

        return _answer(handler(_request("POST", path, body, {}), Context()))

    def received(self, url: str) -> list[Any]:
        found = self.client.call("sqs", "ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 10})
        return [json.loads(message["Body"]) for message in found.get("Messages", [])]

    def invoked(self) -> str:
        status, answer = self.api("POST", "/v1/functions/shop.charge/invoke", {"data": {"n": 1}})
        assert status == 202
        return str(answer["data"]["run_id"])


def _request(method: str, path: str, body: Any, headers: dict[str, str]) -> dict[str, Any]:
    sent = None if body is None else json.dumps(body).encode()
    return http_api.event(method, path, sent, {"content-type": "application/json", **headers})


def _answer(response: dict[str, Any]) -> tuple[int, Any]:
    return response["statusCode"], json.loads(response["body"])


@pytest.fixture
def mill(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mill]:
    name = moto.fresh("doors").replace("-", "")
    client = moto.client()
    base = f"https://sqs.{moto.REGION}.amazonaws.com/{moto.ACCOUNT}/"
    made = {
        kind: client.call("secretsmanager", "CreateSecret", {"Name": f"{name}-{kind}", "SecretString": KEY})["ARN"]
        for kind in ("events", "api")
    }
    environment = {
        "TIDEMILL_NAME": name,
        "TIDEMILL_TABLE": name,
        "TIDEMILL_BUCKET": name,
        "TIDEMILL_BUS": name,
        "TIDEMILL_QUEUES": base,
        "TIDEMILL_TIMERS_ARN": moto.queue_arn("timers"),
        "TIDEMILL_SCHEDULE_GROUP": name,
        "TIDEMILL_SCHEDULE_ROLE": "arn:aws:iam::123456789012:role/schedules",
        "TIDEMILL_EVENT_KEYS": made["events"],
        "TIDEMILL_API_KEYS": made["api"],
    }
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("TIDEMILL_URL", raising=False)
    moto.create_table(client, name)
    moto.create_bucket(client, name)
    moto.create_bus(client, name)
    found = settings(environment)
    moto.create_queue(client, found.queue_url(SPEC.id).rpartition("/")[2])
    moto.create_queue(client, f"{name}-all")
    moto.create_rule(client, name, "all", {"source": ["tidemill"]}, moto.queue_arn(f"{name}-all"))
    register(Table(client, name), SPEC, "test", 0, "1")
    world = worlds.build(client, found)
    for cached in (worlds.world, worlds.client, worlds.settings, event_keys, api_keys):
        cached.cache_clear()
    monkeypatch.setattr("tidemill_lambdas.ingest.entry.world", lambda: world)
    monkeypatch.setattr("tidemill_lambdas.api.entry.world", lambda: world)
    monkeypatch.setattr("tidemill_lambdas.keys.stored.client", lambda: client)
    monkeypatch.setattr(sending, "world", lambda: world)
    yield Mill(client, world, found.queue_url(SPEC.id), base + f"{name}-all")
    for cached in (worlds.world, worlds.client, worlds.settings, event_keys, api_keys):
        cached.cache_clear()


def test_an_event_is_published_and_nothing_is_stored(mill: Mill) -> None:
    status, answer = mill.ingest(
        f"/e/{KEY}", [{"name": "paid", "id": "e1", "data": {"n": 1}}, {"name": "seen", "id": "e2"}]
    )
    assert (status, answer["ids"]) == (200, ["e1", "e2"])
    details = {message["detail"]["id"]: message["detail"] for message in mill.received(mill.bus_queue)}
    assert (details["e1"]["name"], details["e1"]["data"]) == ("paid", {"n": 1})
    assert set(details) == {"e1", "e2"}
    assert mill.world.events.get("e1") is None


def test_what_is_published_is_what_the_events_lambda_stores(mill: Mill) -> None:
    mill.ingest(f"/w/{KEY}/hook/paid", {"n": 1})
    ((message),) = mill.received(mill.bus_queue)
    events.work(json.dumps(message), mill.world, later=lambda _: None)
    stored = mill.world.events.get(message["detail"]["id"])
    assert stored is not None
    assert (stored.name, stored.data, stored.received_at) == ("hook/paid", {"n": 1}, message["detail"]["received_at"])


def test_keys_are_looked_at_before_anything_else(mill: Mill) -> None:
    assert mill.ingest("/e/another", {"name": "paid"})[0] == 401
    assert mill.api("GET", "/v1/functions", key="another")[0] == 401
    assert mill.api("GET", "/health", key="")[0] == 200
    assert mill.received(mill.bus_queue) == []


def test_a_value_too_large_for_an_answer_is_where_its_answer_leads(mill: Mill) -> None:
    run_id = mill.invoked()
    assert open_run(mill.world, run_id, "test", FAR) is not None
    value = "é" * (4 * MIB)
    journal = mill.world.runs.read(run_id)
    step = StepDone("large", "run", 1, 2, value=json.dumps(value, ensure_ascii=False).encode())
    assert mill.world.runs.append(run_id, len(journal), [step]) == APPENDED
    large = mill.api("GET", f"/v1/runs/{run_id}")[1]["data"]["steps"][0]["output"]
    assert large["bytes"] > ANSWER_BYTES
    path = urlsplit(large["$large"]).path
    status, headers, _ = mill.asked("GET", path)
    assert status == 303
    where = urlsplit(headers["location"])
    assert "X-Amz-Signature=" in where.query
    got = moto.MotoTransport()(
        Request("s3", "GET", "GET", True, where.netloc, f"{where.path}?{where.query}", {"host": where.netloc}, b"", 5)
    )
    assert (got.status, json.loads(got.body)) == (200, {"data": value})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YTpi"}, {"authorization": "Bearer "}])
def test_a_call_without_a_key_costs_nothing_but_its_refusal(
    mill: Mill, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tidemill_lambdas.api import entry

    def never() -> None:
        raise AssertionError("neither stores nor keys are asked for")

    monkeypatch.setattr(entry, "world", never)
    monkeypatch.setattr(entry, "api_keys", never)
    status, answer = _answer(entry.handler(_request("GET", "/v1/runs", None, headers), Context()))
    assert (status, answer["status"]) == (401, 401)


def test_a_function_is_invoked_and_its_queue_told(mill: Mill) -> None:
    run_id = mill.invoked()
    assert mill.received(mill.queue) == [{"look": run_id}]
    assert mill.api("GET", f"/v1/runs/{run_id}")[1]["data"]["status"] == "scheduled"


def test_a_run_is_cancelled_once(mill: Mill) -> None:
    run_id = mill.invoked()
    status, answer = mill.api("DELETE", f"/v1/runs/{run_id}")
    assert (status, answer["data"]["status"]) == (200, "cancelled")
    assert mill.api("DELETE", f"/v1/runs/{run_id}")[0] == 409
    assert mill.api("DELETE", "/v1/runs/nothing")[0] == 404


def test_a_run_is_run_again(mill: Mill) -> None:
    run_id = mill.invoked()
    mill.api("DELETE", f"/v1/runs/{run_id}")
    mill.received(mill.queue)
    status, answer = mill.api("POST", f"/v1/runs/{run_id}/rerun", {"input": {"n": 2}})
    assert status == 200
    assert answer["data"]["run_id"] != run_id
    assert mill.received(mill.queue) == [{"look": answer["data"]["run_id"]}]


def test_a_signal_finds_who_waits_for_it(mill: Mill) -> None:
    from tidemill.core import match
    from tidemill.engine.runs import match_waits
    from tidemill.model import SIGNAL, Condition, Wait

    run_id = mill.invoked()
    assert open_run(mill.world, run_id, "test", FAR) is not None
    condition = Condition("data.signal", match.value_hash("review-1"))
    match_waits.register(mill.world, [Wait(run_id, SPEC.id, "w", SIGNAL, condition, after=0)])
    status, answer = mill.api("POST", "/v1/signals", {"signal": "review-1", "data": {"ok": True}})
    assert (status, answer["data"]["run_ids"]) == (200, [run_id])


def test_what_an_app_sends_in_its_lambda_goes_to_the_bus(mill: Mill) -> None:
    (event_id,) = App("shop").send("paid", {"n": 1})
    assert App("shop").send([{"name": "paid", "id": "mine", "ts": 5}]) == ["mine"]
    details = {message["detail"]["id"]: message["detail"] for message in mill.received(mill.bus_queue)}
    assert (details[event_id]["data"], details["mine"]["ts"]) == ({"n": 1}, 5)
