"""CloudEvents 1.0: the examples of the specification and the official SDK's messages are taken, in all three forms."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tidemill.aws.messages.envelope import entry, event_of, read
from tidemill.model import Event
from tidemill.ports import EventQuery

if TYPE_CHECKING:
    from conftest import Answer, Caller

NOW = 1_790_000_000_000
THEN = 1_522_949_460_000  # 2018-04-05T17:31:00Z
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
# Section 3.1 of the JSON format, with data that is an object, as the HTTP binding's examples have it.
EXAMPLE: dict[str, Any] = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "subject": None,
    "id": "C234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "datacontenttype": "application/json",
    "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
}
# Section 3.1.4 of the HTTP protocol binding.
BINARY = {
    "ce-specversion": "1.0",
    "ce-type": "com.example.someevent",
    "ce-time": "2018-04-05T03:56:24Z",
    "ce-id": "1234-1234-1234",
    "ce-source": "/mycontext/subcontext",
    "content-type": "application/json; charset=utf-8",
}


def send(call: Caller, body: object, headers: Mapping[str, str] = STRUCTURED) -> Answer:
    """As API Gateway hands it over: what its content type does not call text comes as base64."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    kept = base64.b64encode(text).decode()
    return call("POST", "/e/key", kept, headers=dict(headers), isBase64Encoded=True)


def taken(call: Caller, answer: Answer) -> list[Event]:
    assert answer.status == 200, answer.text
    found = [call.world.events.get(event_id) for event_id in answer.json["ids"]]
    return [event for event in found if event is not None]


def refused(call: Caller, answer: Answer, where: list[Any], *words: str) -> None:
    assert answer.status == 400
    assert [error["loc"] for error in answer.json["errors"]][:1] == ([where] if where else [])
    assert all(word in answer.json["error"] for word in words), answer.json["error"]
    assert call.world.events.page(EventQuery()) == []


def test_the_example_of_the_json_format_is_taken(call: Caller) -> None:
    (event,) = taken(call, send(call, EXAMPLE))
    assert (event.name, event.data, event.ts) == ("com.example.someevent", EXAMPLE["data"], THEN)
    assert event.data_context == {
        "specversion": "1.0",
        "source": "/mycontext",
        "id": "C234-1234-1234",
        "comexampleextension1": "value",
        "comexampleothervalue": 5,
        "datacontenttype": "application/json",
    }
    shown = call.get(f"/v1/events/{event.id}").data
    assert shown["data_context"] == event.data_context


def test_the_example_of_binary_content_mode_is_taken(call: Caller) -> None:
    (event,) = taken(call, send(call, {"much": "wow"}, BINARY))
    assert (event.name, event.data, event.ts) == ("com.example.someevent", {"much": "wow"}, 1_522_900_584_000)
    assert event.data_context == {
        "specversion": "1.0",
        "source": "/mycontext/subcontext",
        "id": "1234-1234-1234",
        "datacontenttype": "application/json; charset=utf-8",
    }


def test_a_batch_is_answered_in_its_order(call: Caller) -> None:
    other = {**EXAMPLE, "id": "2", "type": "com.example.other", "data": {}}
    first, second = taken(call, send(call, [EXAMPLE, other], BATCH))
    assert (first.name, second.name) == ("com.example.someevent", "com.example.other")


def test_header_values_are_percent_decoded_and_unquoted(call: Caller) -> None:
    """Section 3.1.3.2 of the HTTP protocol binding: its example is `Euro € 😀`."""
    headers = {**BINARY, "ce-subject": "Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-who": '"a \\"b\\" c"'}
    (event,) = taken(call, send(call, {}, headers))
    assert event.data_context is not None
    assert (event.data_context["subject"], event.data_context["who"]) == ("Euro € 😀", 'a "b" c')


SDK = CloudEvent(
    {
        "type": "user/signed.up",
        "source": "https://example.com/app",
        "id": "a b%c",
        "specversion": "1.0",
        "time": datetime(2018, 4, 5, 17, 31, tzinfo=UTC),
        "datacontenttype": "application/json",
        "dataschema": "https://example.com/schemas/user/signed.up/2026-11-01.json",
        "subject": "Zoë €",
        "extra": "x",
    },
    {"user_id": "u1", "plan": "pro"},
)


def test_what_the_official_sdk_sends_is_the_same_event_in_every_form(call: Caller) -> None:
    structured, binary = to_structured(SDK, JSONFormat()), to_binary(SDK, JSONFormat())
    of_bytes = to_structured(CloudEvent(SDK.get_attributes(), b'{"user_id": "u1", "plan": "pro"}'), JSONFormat())
    batch = b"[" + structured.body + b"]"
    forms = [(structured.body, structured.headers), (of_bytes.body, of_bytes.headers), (binary.body, binary.headers)]
    found: list[Event] = []
    for body, headers in [*forms, (batch, BATCH)]:
        found += taken(call, send(call, body, {name.lower(): value for name, value in headers.items()}))
    assert len(found) == 4
    assert {event.id for event in found} == {found[0].id}
    assert found[0].v == "2026-11-01"
    assert (found[0].data, found[0].ts) == ({"user_id": "u1", "plan": "pro"}, THEN)
    assert found[0].data_context is not None
    assert found[0].data_context["subject"] == "Zoë €"
    assert len(call.runs_of(found[0].id)) == 2  # each function that listens, once


def test_the_id_is_of_source_and_id_together(call: Caller) -> None:
    ids = [
        event.id
        for source, id in (("/a", "bc"), ("/ab", "c"), ("/a", "bc"))
        for event in taken(call, send(call, {**EXAMPLE, "source": source, "id": id}))
    ]
    assert ids[0] == ids[2] != ids[1]


def test_the_extension_v_goes_before_the_schema(call: Caller) -> None:
    named = {**EXAMPLE, "dataschema": "https://example.com/a/2.json?x=1#y"}
    assert [event.v for event in taken(call, send(call, [named, {**named, "id": "2", "v": "3"}], BATCH))] == ["2", "3"]


def test_data_that_is_missing_is_empty(call: Caller) -> None:
    without = {name: value for name, value in EXAMPLE.items() if name != "data"}
    assert [event.data for event in taken(call, send(call, without))] == [{}]
    assert [event.data for event in taken(call, send(call, b"", {**BINARY, "ce-id": "2"}))] == [{}]


def test_the_attributes_travel_on_the_bus(call: Caller) -> None:
    (event,) = taken(call, send(call, EXAMPLE))
    sent = entry(event, "bus")
    message = {"id": "1", "source": sent["Source"], "detail-type": sent["DetailType"], "time": "2026-11-01T00:00:00Z"}
    detail = json.loads(sent["Detail"])
    assert event_of(read(json.dumps({**message, "detail": detail}))) == event


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("change", "where", "word"),
    [
        ({"data": "text"}, ["data"], "JSON object"),
        ({"data": [1]}, ["data"], "an array"),
        ({"data": None}, ["data"], "null"),
        ({"data_base64": base64_of("{}")}, ["data_base64"], "not both"),
        ({"specversion": "0.3"}, ["specversion"], "CloudEvents 1.0"),
        ({"specversion": 1.0}, ["specversion"], "must be text"),
        ({"id": ""}, ["id"], "empty"),
        ({"source": None}, ["source"], "missing"),
        ({"type": 5}, ["type"], "must be text"),
        ({"type": "tidemill/function.finished"}, ["type"], "the platform's own"),
        ({"type": "x" * 257}, ["type"], "256"),
        ({"time": "yesterday"}, ["time"], "RFC 3339"),
        ({"time": "2018-04-05"}, ["time"], "RFC 3339"),
        ({"time": "2018-13-05T00:00:00Z"}, ["time"], "RFC 3339"),
        ({"time": "9999-04-05T00:00:00Z"}, ["time"], "future"),
        ({"Upper": "x"}, ["Upper"], "lower-case"),
        ({"some_name": "x"}, ["some_name"], "lower-case"),
        ({"extra": {"a": 1}}, ["extra"], "put it into data"),
        ({"extra": 1.5}, ["extra"], "put it into data"),
        ({"extra": 2**31}, ["extra"], "32 bits"),
        ({"v": 3}, ["v"], "must be text"),
    ],
)
def test_what_is_no_cloud_event_is_refused_in_a_sentence(
    call: Caller, change: dict[str, Any], where: list[str], word: str
) -> None:
    refused(call, send(call, {**EXAMPLE, **change}), where, word)
    refused(call, send(call, [EXAMPLE, {**EXAMPLE, **change}], BATCH), where, word, "event 1", "nothing was taken in")


@pytest.mark.parametrize(
    ("encoded", "word"),
    [("%%%", "not base64"), (5, "not base64"), (base64_of("<xml/>"), "no JSON"), (base64_of("5"), "a number")],
)
def test_base64_that_holds_no_object_is_refused(call: Caller, encoded: object, word: str) -> None:
    without = {name: value for name, value in EXAMPLE.items() if name != "data"}
    where = ["data"] if word == "a number" else ["data_base64"]
    refused(call, send(call, {**without, "data_base64": encoded}), where, word)


@pytest.mark.parametrize(
    ("body", "headers", "word"),
    [
        (b"{", STRUCTURED, "not JSON"),
        (b"[]", STRUCTURED, "an array"),
        (b"{}", BATCH, "JSON array"),
        (b"[]", BATCH, "empty"),
        (b"<event/>", {"content-type": "application/cloudevents+xml"}, "application/cloudevents+json"),
        (b'<much wow="xml"/>', {**BINARY, "content-type": "text/xml"}, "not JSON"),
        (b"{}", {**BINARY, "ce-subject": "%ff"}, "UTF-8"),
        (b"{}", {**BINARY, "ce-data": "x"}, "the body is its data"),
    ],
)
def test_a_body_of_another_form_is_refused_in_a_sentence(
    call: Caller, body: bytes, headers: dict[str, str], word: str
) -> None:
    answer = send(call, body, headers)
    assert answer.status == 400
    assert word in answer.json["error"]
    assert call.world.events.page(EventQuery()) == []


def test_binary_headers_without_the_required_ones_are_refused(call: Caller) -> None:
    refused(call, send(call, {}, {"ce-type": "x"}), ["id"], "id is missing")


def test_our_own_form_has_no_data_context(call: Caller) -> None:
    answer = call.post("/e/key", {"name": "x", "data_context": {}})
    refused(call, answer, ["data_context"], "use data")
