"""What others put on the bus, as events of ours."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.doubles import Entropy

from tidemill.aws.messages import envelope
from tidemill.json_numbers import SENTENCE
from tidemill.model import Event
from tidemill_lambdas.http import Refused
from tidemill_lambdas.ingest import accept

NOW = 1_790_000_000_000
TIME = 1_789_999_999_000  # 2026-09-21T14:13:19Z


def foreign(detail: Any, detail_type: str = "order/placed", text: str = "") -> Event:
    """`text`: the detail as it stands on the bus."""
    body = {
        "version": "0",
        "id": "11111111-2222-4333-8444-555555555555",
        "detail-type": detail_type,
        "source": "legacy.shop",
        "account": "123456789012",
        "time": "2026-09-21T14:13:19Z",
        "region": "eu-west-1",
        "resources": [],
        "detail": detail,
    }
    found = envelope.read(json.dumps(body).replace('"TEXT"', text))
    assert not found.ours
    return accept.foreign(found, NOW, Entropy())


def test_a_detail_that_is_the_event_is_taken_as_it_is():
    detail = {"name": "order/placed", "data": {"n": 1}, "id": "o1", "ts": 5, "user": {"id": "u"}, "v": "2"}
    assert foreign(detail) == Event("o1", "order/placed", {"n": 1}, 5, NOW, {"id": "u"}, "2")


def test_what_the_event_leaves_out_eventbridge_says():
    event = foreign({"name": "order/placed"})
    assert event == Event("11111111-2222-4333-8444-555555555555", "order/placed", {}, TIME, NOW)


@pytest.mark.parametrize("detail", [{"n": 1}, {"name": "Ann", "data": 3}, {"name": None}, {}])
def test_any_other_detail_is_data(detail: dict[str, Any]):
    event = foreign(detail, "Object Created")
    assert event == Event("11111111-2222-4333-8444-555555555555", "Object Created", detail, TIME, NOW)


@pytest.mark.parametrize(
    ("detail", "detail_type", "place", "word"),
    [
        ({"name": "a", "data": 1}, "a", ("data",), "JSON object"),
        ({"name": "a", "extra": 1}, "a", ("extra",), "'extra'"),
        ({"name": "a", "id": ""}, "a", ("id",), "empty"),
        ({"n": 1}, "tidemill/function.finished", ("name",), "platform's own"),
        ({"n": 2**70}, "a", ("data", "n"), "64 bits"),
    ],
)
def test_what_is_no_event_is_refused_with_its_place(
    detail: dict[str, Any], detail_type: str, place: tuple[str, ...], word: str
):
    with pytest.raises(Refused) as refused:
        foreign(detail, detail_type)
    assert refused.value.errors is not None
    assert tuple(refused.value.errors[0]["loc"]) == place
    assert word in refused.value.errors[0]["msg"]


def test_a_number_beyond_a_double_is_named_by_its_place():
    with pytest.raises(Refused) as refused:
        foreign("TEXT", text='{"n": 1e999}')
    assert refused.value.errors == [{"index": 0, "loc": ("data", "n"), "msg": SENTENCE}]


def test_what_is_too_large_or_too_deep_is_refused():
    with pytest.raises(Refused, match="768 KiB"):
        foreign({"text": "x" * 800_000})
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    with pytest.raises(Refused, match="deeper"):
        foreign({"deep": deep})
