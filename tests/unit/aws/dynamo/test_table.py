"""Tables with plain values: what goes in comes out, conditions hold, and what a batch leaves undone is done later."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.aws.calls.client import AwsError, Reply, Request
from tidemill.aws.dynamo.keys import BY_FUNCTION, SHARDS, fitting, shard
from tidemill.aws.dynamo.sizes import item_size
from tidemill.aws.dynamo.table import Copy, Table, attributes, item_of
from tidemill.errors import Unavailable
from tidemill_local.testing import moto

values = st.one_of(
    st.text(), st.integers(-(10**30), 10**30), st.binary(), st.booleans(), st.none(),
    st.frozensets(st.text(), min_size=1), st.frozensets(st.integers(-(10**6), 10**6), min_size=1),
)  # fmt: skip


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    table = moto.fresh_table("table")
    yield table
    table.client.call("dynamodb", "DeleteTable", {"TableName": table.name})


@pytest.fixture
def pk() -> str:
    return moto.fresh("pk")


@given(st.dictionaries(st.text(min_size=1), values))
def test_values_come_back_as_they_were(item: dict) -> None:
    back = item_of(json.loads(json.dumps(attributes(item))))
    assert back == item
    assert {name: type(value) for name, value in back.items()} == {name: type(value) for name, value in item.items()}


def test_what_no_attribute_can_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="no DynamoDB attribute can hold tuple"):
        attributes({"x": (1, 2)})
    assert item_of({"x": {"N": "-1.5"}}) == {"x": -1.5}


def test_an_item_is_put_once(table: Table, pk: str) -> None:
    item = {"pk": pk, "sk": "a", "data": b"\x00\xff", "n": 7}
    assert table.put(item, absent=True)
    assert not table.put({**item, "n": 8}, absent=True)
    assert table.put_or_found({**item, "n": 8}) == item
    assert table.get(pk, "a") == item
    assert table.put_or_found({"pk": pk, "sk": "b"}) is None
    assert table.put({"pk": pk, "sk": "b", "n": 1})
    assert table.get(pk, "b") == {"pk": pk, "sk": "b", "n": 1}
    assert table.get(pk, "c") is None


def test_an_update_sets_copies_adds_and_removes(table: Table, pk: str) -> None:
    """Also attributes whose names DynamoDB keeps for itself."""
    table.put({"pk": pk, "sk": "a", "name": "x", "status": "old", "gone": 1})
    assert table.updated(
        pk, "a", {"user": Copy("name"), "status": "new"}, remove=["gone"], add={"total": 2, "seen": frozenset({4})}
    ) == {
        "pk": pk, "sk": "a", "name": "x", "user": "x", "status": "new", "total": 2, "seen": frozenset({4})
    }  # fmt: skip
    assert table.update(pk, "a", add={"total": -5, "seen": frozenset({4, 5})})
    item = table.get(pk, "a")
    assert item is not None
    assert (item["total"], item["seen"]) == (-3, frozenset({4, 5}))


def test_a_condition_that_fails_changes_nothing(table: Table, pk: str) -> None:
    table.put({"pk": pk, "sk": "a", "due": 3})
    assert not table.update(pk, "a", {"due": 5}, when="due = :was", values={"was": 4})
    assert table.updated(pk, "a", {"due": 5}, when="#due = :was", values={"was": 4}) is None
    assert not table.delete(pk, "a", when="due = :was", values={"was": 4})
    assert not table.update(pk, "b", {"due": 5}, when="attribute_exists(pk)")
    assert table.get(pk, "a") == {"pk": pk, "sk": "a", "due": 3}
    assert table.get(pk, "b") is None
    assert table.delete(pk, "a", when="due = :was", values={"was": 3})
    assert table.get(pk, "a") is None
    with pytest.raises(AwsError, match="ValidationException"):
        table.update(pk, "a", {"pk": "another"})


def test_a_transaction_is_done_or_tells_why_not(table: Table, pk: str) -> None:
    table.put({"pk": pk, "sk": "a", "n": 1})
    actions = [
        table.put_action({"pk": pk, "sk": "b"}, absent=True),
        table.update_action(pk, "a", {"n": 2}, when="n = :was", values={"was": 1}),
    ]
    assert table.transact(actions) is None
    assert table.transact(actions) == ["ConditionalCheckFailed", "ConditionalCheckFailed"]
    checked = [
        table.check_action(pk, "a", when="n = :is", values={"is": 2}),
        table.delete_action(pk, "b"),
        table.put_action({"pk": pk, "sk": "c"}),
    ]
    assert table.transact(checked) is None
    assert [item["sk"] for item in table.query(pk)] == ["a", "c"]


def test_queries_by_range_order_and_pages(table: Table, pk: str) -> None:
    for sk in ("a", "a1", "b", "c"):
        table.put({"pk": pk, "sk": sk, "data": b"x"})

    def found(**options: object) -> list[str]:
        return [item["sk"] for item in table.query(pk, **options)]

    assert found() == found(page=1) == found(page=3) == ["a", "a1", "b", "c"]
    assert found(low="a1") == found(above="a") == ["a1", "b", "c"]
    assert found(high="b") == ["a", "a1", "b"]
    assert found(low="a1", high="b") == found(above="a", high="b") == ["a1", "b"]
    assert found(prefix="a") == ["a", "a1"]
    assert found(newest_first=True, limit=2) == found(newest_first=True, limit=2, page=1) == ["c", "b"]
    assert found(limit=0) == []
    assert list(table.query(pk, limit=1, only=["sk"])) == [{"sk": "a"}]
    assert table.count(pk) == 4
    assert table.count(pk, prefix="a") == 2


def test_queries_of_an_index(table: Table, pk: str) -> None:
    for n in range(3):
        table.put({"pk": pk, "sk": str(n), BY_FUNCTION.pk: pk, BY_FUNCTION.sk: str(9 - n), "other": 1})
    table.put({"pk": pk, "sk": "no keys"})
    found = list(table.query(pk, low="8", index=BY_FUNCTION))
    assert found == [{"pk": pk, "sk": str(n), BY_FUNCTION.pk: pk, BY_FUNCTION.sk: str(9 - n)} for n in (1, 0)]


def test_many_are_written_and_read(table: Table, pk: str) -> None:
    items = [{"pk": pk, "sk": f"{n:03}", "n": n} for n in range(120)]
    table.write_many(items)
    keys = [(pk, f"{n:03}") for n in range(130)]
    assert sorted(item["n"] for item in table.get_many([*keys, *keys]).values()) == list(range(120))
    table.write_many(deletes=keys[10:])
    assert table.count(pk) == 10
    table.write_many()
    assert table.get_many([]) == {}


class Undone:
    """A transport that leaves all but the first of each batch undone."""

    def __init__(self) -> None:
        self.inner = moto.MotoTransport()
        self.calls = 0
        self.always = False

    def __call__(self, request: Request) -> Reply:
        if request.operation not in ("BatchWriteItem", "BatchGetItem"):
            return self.inner(request)
        self.calls += 1
        body = json.loads(request.body)
        ((name, asked),) = body["RequestItems"].items()
        batch = asked["Keys"] if isinstance(asked, dict) else asked
        done, undone = ([], batch) if self.always else (batch[:1], batch[1:])
        answer = {}
        if done:
            asked = {**asked, "Keys": done} if isinstance(asked, dict) else done
            reply = self.inner(request._replace(body=json.dumps({"RequestItems": {name: asked}}).encode()))
            answer = json.loads(reply.body)
        if undone and request.operation == "BatchGetItem":
            answer["UnprocessedKeys"] = {name: {"Keys": undone}}
        elif undone:
            answer["UnprocessedItems"] = {name: undone}
        return Reply(200, {}, json.dumps(answer).encode())


def test_what_a_batch_leaves_undone_is_done_later(table: Table, pk: str) -> None:
    transport, pauses = Undone(), []
    throttled = Table(moto.client(transport, sleep=pauses.append, draw=lambda: 1.0), table.name)
    throttled.write_many([{"pk": pk, "sk": str(n)} for n in range(5)])
    assert table.count(pk) == 5
    assert pauses == [0.05, 0.1, 0.2, 0.4]
    assert len(throttled.get_many([(pk, str(n)) for n in range(5)])) == 5
    transport.always = True
    with pytest.raises(Unavailable, match="undone 10 times"):
        throttled.write_many([{"pk": pk, "sk": "x"}])


# Keys.


def test_shards_are_the_same_everywhere_and_all_used() -> None:
    assert shard("01ARZ3NDEKTSV4RRFFQ69G5FAV") == 14
    assert {shard(str(n)) for n in range(1_000)} == set(range(SHARDS))


def test_a_part_of_a_key_that_is_too_long_is_its_digest() -> None:
    assert fitting("ü" * 450) == "ü" * 450
    assert fitting("ü" * 451).startswith("sha256:")
    assert fitting("ü" * 451) != fitting("ü" * 452)
    assert len(fitting("\ud800" * 1_000)) < 100


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({}, 0),
        ({"pk": "RUN#1", "sk": "#"}, 2 + 5 + 2 + 1),
        ({"ü": "ü"}, 4),
        ({"b": b"abc"}, 4),
        ({"n": 0, "m": 1790000000000, "k": -12}, 3 + 2 + 3 + 3),
        ({"t": True, "z": None}, 4),
        ({"s": frozenset({"a", "bb"})}, 4),
    ],
)
def test_sizes_are_dynamodbs(item: dict, size: int) -> None:
    assert item_size(item) == size
