"""What the door for events turns away: each with a clear error, and nothing is changed."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tidemill.ports import EventQuery
from tidemill_lambdas.keys import KeyRing

if TYPE_CHECKING:
    from conftest import Answer, Caller

NOW = 1_790_000_000_000
DAY = 86_400_000


def nothing_stored(call: Caller) -> bool:
    return call.world.events.page(EventQuery()) == []


def problems(answer: Answer) -> list[tuple[int, tuple[Any, ...]]]:
    """The places of an answer's errors; its sentence names at least the first."""
    body = answer.json
    assert body["status"] == answer.status
    if body["errors"]:
        assert body["errors"][0]["msg"] in body["error"]
    return [(error["index"], tuple(error["loc"])) for error in body["errors"]]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "   ",
        "{",
        '{"name": "x"',
        '{"name": "x"}}',
        '{"name": "x"} {"name": "y"}',
        '{"name": "x",}',
        "{'name': 'x'}",
        '{"name": "x", "data": {"n": NaN}}',
        '{"name": "x", "data": {"n": Infinity}}',
        '{"name": "x", "data": {"n": 1e999, "m": NaN}}',
        '{"name": "x", "data": {"n": 01}}',
        '{"name": "x", "data": {"n": "\t"}}',
        '{"name": "\\ud800"}',
        '{"name": "x", "data": {"\\udc00": 1}}',
        '{"name": "\ud800"}',
        '\ufeff{"name": "x"}',
        "// a comment",
        "name=x",
        "null",
        "true",
        "5",
        '"x"',
        "[]",
        "[" * 102 + "]" * 102,
        "[" * 1_000_000,
        '{"name": "x", "data": ' + '{"a":' * 100 + "1" + "}" * 101,
        '{"name": "x", "data": {"t": ' + '["]", ' * 2_000 + '"]"' + "]" * 2_000 + "}}",
    ],
    ids=range(28),
)
def test_a_body_that_is_no_event(call: Caller, body: str) -> None:
    answer = call.post("/e/key", body)
    assert (answer.status, problems(answer)) == (400, [])
    assert nothing_stored(call)


@pytest.mark.parametrize("body", [b'{"name": "\xff"}', b'{"name": "\xed\xa0\x80"}', '{"name": "x"}'.encode("utf-16")])
def test_a_body_that_is_not_utf_8(call: Caller, body: bytes) -> None:
    answer = call("POST", "/e/key", base64.b64encode(body).decode(), isBase64Encoded=True)
    assert (answer.status, problems(answer)) == (400, [])
    assert nothing_stored(call)


def test_a_body_that_is_not_the_base64_it_is_said_to_be(call: Caller) -> None:
    assert call("POST", "/e/key", '{"name": "x"}', isBase64Encoded=True).status == 400


@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({}, ["name"]),
        ({"data": {}}, ["name"]),
        ({"name": None}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"name": ""}, ["name"]),
        ({"name": "x" * 257}, ["name"]),
        ({"name": "a\nb"}, ["name"]),
        ({"name": "tidemill/function.failed"}, ["name"]),
        ({"name": "tidemill/anything"}, ["name"]),
        ({"name": "x", "data": None}, ["data"]),
        ({"name": "x", "data": []}, ["data"]),
        ({"name": "x", "data": "{}"}, ["data"]),
        ({"name": "x", "id": 7}, ["id"]),
        ({"name": "x", "id": ""}, ["id"]),
        ({"name": "x", "id": "i" * 257}, ["id"]),
        ({"name": "x", "id": "a\x00b"}, ["id"]),
        ({"name": "x", "id": "a\x7fb"}, ["id"]),
        ({"name": "x", "id": "a\x85b"}, ["id"]),
        ({"name": "x", "ts": "1790000000000"}, ["ts"]),
        ({"name": "x", "ts": 1.5}, ["ts"]),
        ({"name": "x", "ts": True}, ["ts"]),
        ({"name": "x", "ts": -1}, ["ts"]),
        ({"name": "x", "ts": NOW + 367 * DAY}, ["ts"]),
        ({"name": "x", "ts": 1e300}, ["ts"]),
        ({"name": "x", "user": "u1"}, ["user"]),
        ({"name": "x", "user": None}, ["user"]),
        ({"name": "x", "v": 1}, ["v"]),
        ({"name": "x", "v": ""}, ["v"]),
        ({"name": "x", "extra": 1}, ["extra"]),
        ({"name": "x", "Data": {}}, ["Data"]),
        (5, []),
        (None, []),
        ([], []),
        ("x", []),
    ],
    ids=range(34),
)
def test_an_event_that_is_not_as_it_should_be(call: Caller, event: Any, place: list[str]) -> None:
    answer = call.post("/e/key", [{"name": "fine"}, event])
    assert (answer.status, problems(answer)) == (400, [(1, tuple(place))])
    assert nothing_stored(call)
    if isinstance(event, dict):
        alone = call.post("/e/key", event)
        assert (alone.status, problems(alone)) == (400, [(0, tuple(place))])
        assert nothing_stored(call)


def test_every_problem_is_named_at_once(call: Caller) -> None:
    answer = call.post("/e/key", [{"nam": "x", "ts": "now"}, {"name": "fine"}, {"name": "", "id": ""}, 3])
    assert answer.status == 400
    assert problems(answer) == [(0, ("name",)), (0, ("nam",)), (0, ("ts",)), (2, ("name",)), (2, ("id",)), (3, ())]
    assert nothing_stored(call)


_LARGE = ["1e999", "-1e400", "9" * 5_000, "-" + "9" * 400, "9" * 5_000 + ".5", "1e" + "9" * 30, str(2**64)]


@pytest.mark.parametrize("number", _LARGE, ids=range(len(_LARGE)))
def test_a_number_that_is_too_large_is_named_by_its_place(call: Caller, number: str) -> None:
    event = f'{{"name": "x", "data": {{"items": [1, {{"n": {number}}}]}}}}'
    place = ("data", "items", 1, "n")
    for body in (event, f'[{{"name": "fine"}}, {event}]'):
        answer = call.post("/e/key", body)
        assert (answer.status, problems(answer)) == (400, [(body.startswith("["), place)])
        assert "this number is too large" in answer.json["error"]
        assert "not JSON" not in answer.json["error"]
    answer = call.post("/w/key/x", f'{{"items": [1, {{"n": {number}}}]}}')
    assert (answer.status, problems(answer)) == (400, [(0, place)])
    assert nothing_stored(call)


@pytest.mark.parametrize(("field", "place"), [("ts", ["ts"]), ("user", ["user"]), ("name", ["name"]), ("n", ["n"])])
def test_a_number_that_is_too_large_where_none_belongs(call: Caller, field: str, place: list[str]) -> None:
    answer = call.post("/e/key", '{"name": "x", "' + field + '": 1e999}'.replace('"name": "x", "name"', '"name"'))
    assert (answer.status, problems(answer)) == (400, [(0, tuple(place))])


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**40])
def test_whole_numbers_beyond_64_bits_are_refused_by_their_place(call: Caller, number: int) -> None:
    body = f'[{{"name": "x"}}, {{"name": "x", "data": {{"items": [{{"n": 1}}, {{"n": {number}}}]}}}}]'
    answer = call.post("/e/key", body)
    assert (answer.status, problems(answer)) == (400, [(1, ("data", "items", 1, "n"))])
    assert nothing_stored(call)


def test_too_many_events(call: Caller) -> None:
    answer = call.post("/e/key", [{"name": "x"}] * 5_001)
    assert answer.status == 413
    assert "5001" in answer.json["error"]
    assert nothing_stored(call)


def test_one_event_too_large(call: Caller) -> None:
    large = {"name": "x", "data": {"text": "y" * 768 * 1024}}
    alone = call.post("/e/key", large)
    assert (alone.status, problems(alone)) == (413, [(0, ())])
    among = call.post("/e/key", [{"name": "x"}, large])
    assert (among.status, problems(among)) == (413, [(1, ())])
    assert nothing_stored(call)


def test_a_request_too_large(call: Caller) -> None:
    event = {"name": "x", "data": {"text": "y" * 700_000}}
    answer = call.post("/e/key", [event] * 6)
    assert (answer.status, answer.json["status"]) == (413, 413)
    assert nothing_stored(call)


def test_a_great_many_problems_stay_a_readable_answer(call: Caller) -> None:
    answer = call.post("/e/key", [{"bad": 1}] * 5_000)
    assert answer.status == 400
    assert len(answer.json["errors"]) == 1_000
    assert "10000 problems" in answer.json["error"]


@pytest.mark.parametrize("target", ["/e/wrong", "/w/wrong/github", "/e/secre", "/e/%C3%A9"])
def test_a_key_that_is_not_known(call: Caller, target: str) -> None:
    call.keys = KeyRing(("old-secret", "secret"), ("api",))
    answer = call.post(target, {"name": "x"})
    assert (answer.status, answer.json["status"]) == (401, 401)
    assert nothing_stored(call)


def test_both_keys_open_while_they_are_rotated(call: Caller) -> None:
    call.keys = KeyRing(("old-secret", "secret"), ())
    assert call.post("/e/secret", {"name": "x"}).status == 200
    assert call.post("/e/old-secret", {"name": "x"}).status == 200
    assert call.post("/w/secret/x", {}).status == 200


@pytest.mark.parametrize("body", [[], 5, "null", '"x"', [{}]], ids=range(5))
def test_a_webhook_that_is_no_object(call: Caller, body: Any) -> None:
    answer = call.post("/w/key/github", body)
    assert (answer.status, problems(answer)) == (400, [])
    assert nothing_stored(call)


@pytest.mark.parametrize("name", ["tidemill/x", "tidemill%2Fx", "a%00b", "x" * 257])
def test_a_webhook_whose_name_cannot_be_one(call: Caller, name: str) -> None:
    answer = call.post(f"/w/key/{name}", {})
    assert (answer.status, problems(answer)) == (400, [(0, ("name",))])
    assert nothing_stored(call)


@pytest.mark.parametrize("sign", ["\ufffe", "\uffff"])
@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize(
    ("event", "place"),
    [
        ({"name": "x", "data": {"a": [1, {"b": "-?-"}]}}, ["data", "a", 1, "b"]),
        ({"name": "x", "data": {"a?": 1}}, ["data", "a?"]),
        ({"name": "x", "user": {"id": "?"}}, ["user", "id"]),
        ({"name": "x?"}, ["name"]),
        ({"name": "x", "id": "?"}, ["id"]),
        ({"name": "x", "v": "?"}, ["v"]),
    ],
)
def test_what_no_queue_takes_is_refused_at_its_place(
    call: Caller, sign: str, escaped: bool, event: dict[str, Any], place: list[str | int]
) -> None:
    text = json.dumps([{"name": "fine"}, event], ensure_ascii=False).replace("?", sign)
    text = text.replace(sign, f"\\u{ord(sign):04X}") if escaped else text
    answer = call.post("/e/key", text)
    assert answer.status == 400
    (problem,) = answer.json["errors"]
    assert problem["index"] == 1
    assert problem["loc"] == [part.replace("?", sign) if isinstance(part, str) else part for part in place]
    assert call.get("/v1/events").data == []


def test_a_webhook_and_the_bodies_of_calls_are_looked_at_too(call: Caller) -> None:
    assert call.post("/w/key/hook", {"a": "\uffff"}).status == 400
    assert call.post("/w/key/hook%EF%BF%BF", {}).status == 400
    assert call.post("/v1/signals", {"signal": "s", "data": {"x": "\ufffe"}}).status == 400
    assert "data.x" in call.post("/v1/functions/shop.charge/invoke", {"data": {"x": "\ufffe"}}).json["error"]


def test_a_backslash_before_such_digits_is_no_escape(call: Caller) -> None:
    assert call.post("/e/key", r'{"name": "x", "data": {"a": "\\uffff", "b": "\uFFFD"}}').status == 200


def test_a_path_that_is_not_utf_8(call: Caller) -> None:
    assert call("POST", "/w/key/name", {}, rawPath="/w/key/%ff").status == 400


def test_the_sentence_of_a_single_problem_says_what_to_do(call: Caller) -> None:
    body = msgspec.json.decode(call.post("/e/key", {"name": "x", "data": None}).text)
    assert body["error"] == "data must be a JSON object, not null (leave it out instead)"
