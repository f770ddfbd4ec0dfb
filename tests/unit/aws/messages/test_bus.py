"""Events on EventBridge: how they are put, in what portions, and what becomes of those that are refused."""

from __future__ import annotations

import json

import msgspec
import pytest

from tidemill import characters
from tidemill.aws.calls.client import AwsError, Reply, Request
from tidemill.aws.messages import envelope
from tidemill.aws.messages.bus import EventBridgeBus
from tidemill.errors import Unavailable
from tidemill.limits import EVENT_BYTES
from tidemill.model import FINISHED, Event
from tidemill_local.testing import moto

EVENT = Event("e1", "user/signed.up", {"plan": "pro"}, 1_000, 2_000, {"id": "u1"}, "v2")


def event(n: int, **data: object) -> Event:
    return Event(f"e{n}", "order/placed", dict(data), 1_000, 2_000)


class Answers:
    """EventBridge that refuses what `refuses` names, once for each time that it is named."""

    def __init__(self, *refuses: str, code: str = "InternalFailure") -> None:
        self.refuses = list(refuses)
        self.code = code
        self.puts: list[list[dict]] = []

    def __call__(self, request: Request) -> Reply:
        entries = json.loads(request.body)["Entries"]
        self.puts.append(entries)
        results = [self._result(json.loads(entry["Detail"])["id"]) for entry in entries]
        failed = sum("ErrorCode" in result for result in results)
        return Reply(200, {}, json.dumps({"FailedEntryCount": failed, "Entries": results}).encode())

    def _result(self, event_id: str) -> dict:
        if event_id in self.refuses:
            self.refuses.remove(event_id)
            return {"ErrorCode": self.code, "ErrorMessage": "later"}
        return {"EventId": "x"}

    def ids(self) -> list[list[str]]:
        return [[json.loads(entry["Detail"])["id"] for entry in put] for put in self.puts]


def bus(answers: Answers) -> EventBridgeBus:
    return EventBridgeBus(moto.client(answers), "mill", sleep=lambda _: None, draw=lambda: 0.0)


def test_a_rule_hands_on_what_was_published():
    client = moto.client()
    name, queue = moto.fresh("bus"), moto.fresh("events")
    moto.create_bus(client, name)
    url = moto.create_queue(client, queue)
    pattern = {"source": ["tidemill"], "detail": {"name": ["user/signed.up"]}}
    moto.create_rule(client, name, "ours", pattern, moto.queue_arn(queue))
    EventBridgeBus(client, name).publish([EVENT, event(2)])
    messages = client.call("sqs", "ReceiveMessage", {"QueueUrl": url, "MaxNumberOfMessages": 10})["Messages"]
    (found,) = [envelope.read(message["Body"]) for message in messages]
    assert found.ours
    assert envelope.event_of(found) == EVENT


def test_an_entry_is_as_the_rules_expect_it():
    answers = Answers()
    bus(answers).publish([EVENT])
    ((entry,),) = answers.puts
    detail = json.loads(entry.pop("Detail"))
    assert entry == {"EventBusName": "mill", "Source": "tidemill", "DetailType": "user/signed.up"}
    assert detail == {
        "id": "e1", "name": "user/signed.up", "data": {"plan": "pro"}, "ts": 1_000, "received_at": 2_000,
        "user": {"id": "u1"}, "v": "v2",
    }  # fmt: skip


def test_a_long_name_is_cut_in_the_detail_type_only():
    entry = envelope.entry(Event("e", "x" * 256, {}, 1, 1), "b")
    assert entry["DetailType"] == "x" * 128
    assert json.loads(entry["Detail"])["name"] == "x" * 256


def test_ten_events_a_request_in_order():
    answers = Answers()
    bus(answers).publish([event(n) for n in range(23)])
    assert [len(put) for put in answers.ids()] == [10, 10, 3]
    assert [id for put in answers.ids() for id in put] == [f"e{n}" for n in range(23)]


def test_less_than_a_megabyte_a_request():
    answers = Answers()
    bus(answers).publish([event(n, text="ä" * 150_000) for n in range(7)])  # 300 KB each in UTF-8
    assert [len(put) for put in answers.puts] == [3, 3, 1]
    assert all(sum(map(envelope.entry_bytes, put)) < 1_000_000 for put in answers.puts)


def test_the_largest_event_fits():
    data = {"text": "x" * (EVENT_BYTES - 200)}
    answers = Answers()
    bus(answers).publish([Event("e", "n" * 256, data, 1, 1)])
    assert envelope.entry_bytes(answers.puts[0][0]) < envelope.ENTRY_BYTES


def test_nothing_is_nothing():
    answers = Answers()
    bus(answers).publish([])
    assert answers.puts == []


def test_what_was_refused_is_sent_again_and_only_that():
    answers = Answers("e1", "e3", "e3")
    bus(answers).publish([event(n) for n in range(5)])
    assert answers.ids() == [["e0", "e1", "e2", "e3", "e4"], ["e1", "e3"], ["e3"]]


def test_what_is_refused_again_and_again_is_unavailable():
    with pytest.raises(Unavailable, match="1 events"):
        bus(Answers(*["e1"] * 50)).publish([event(0), event(1)])


def test_what_cannot_succeed_is_not_tried_again():
    answers = Answers("e1", code="NotAuthorizedForDetailTypeException")
    with pytest.raises(AwsError, match="NotAuthorized"):
        bus(answers).publish([event(1)])
    assert len(answers.puts) == 1


def test_an_end_too_large_to_travel_says_where_its_values_are():
    began = {"id": "s", "name": "n", "data": {"text": "x" * 700_000}}
    data = {"function_id": "f", "run_id": "R", "status": "completed", "event": began, "output": "y" * 5_000_000}
    sent = envelope.fitting(Event("e", FINISHED, {**data, "error": None}, 1, 1))
    assert len(msgspec.json.encode(sent)) < EVENT_BYTES
    assert sent.data["output"] == {"$large": "/v1/runs/R", "bytes": 5_000_002}
    assert sent.data["event"] == {"id": "s", "name": "n", "data": {"$large": "/v1/runs/R", "bytes": 700_011}}
    assert (sent.data["run_id"], sent.data["status"]) == ("R", "completed")


def test_an_end_whose_characters_no_queue_takes_says_where_its_values_are():
    error = {"type": "E", "message": "an \uffff", "stack": "", "step_id": None}
    began = {"id": "e", "name": "x", "data": {"a": "\ufffe"}}
    data = {"function_id": "f", "run_id": "r1", "status": "failed", "event": began, "output": "\uffff", "error": error}
    sent = envelope.fitting(Event("e1", FINISHED, data, 1, 1))
    assert not characters.any_in(msgspec.json.encode(sent))
    assert sent.data["output"] == {"$large": "/v1/runs/r1", "bytes": 5}
    assert sent.data["event"]["data"]["$large"] == "/v1/runs/r1"
    assert sent.data["error"]["message"] == "an \ufffd"


def test_a_small_end_travels_whole():
    event = Event("e", FINISHED, {"run_id": "R", "event": None, "output": [1, 2], "error": None}, 1, 1)
    assert envelope.fitting(event) is event


def test_what_is_no_envelope_is_told():
    with pytest.raises(ValueError, match="no event of EventBridge"):
        envelope.read('{"look": "r"}')
    text = (
        '{"id": "i", "source": "tidemill", "detail-type": "x", "time": "2026-11-22T09:00:00Z", "detail": {"name": 1}}'
    )
    with pytest.raises(ValueError, match="but is none"):
        envelope.event_of(envelope.read(text))
