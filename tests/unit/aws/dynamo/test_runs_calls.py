"""What runs in DynamoDB cost, call by call and unit by unit, and how the store bears calls that only look failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.calls.client import Reply, Request
from tidemill.aws.dynamo.keys import HEAD, SK, TTL, record_key, run_key
from tidemill.aws.dynamo.runs import DynamoRuns
from tidemill.aws.dynamo.sizes import item_size
from tidemill.aws.dynamo.table import Item, Table
from tidemill.core.journal import Blocked, Claimed, Ended, Gathered, HandedOver, Record, Started, StepDone, Suspended
from tidemill.errors import TidemillError
from tidemill.limits import DAY, HOUR, MAP_CHUNKS, RUN_RETENTION, SECOND
from tidemill.model import Event, Head, HeadChange, Parent
from tidemill.ports import APPENDED, Lost, RunQuery
from tidemill_local.testing import moto
from tidemill_local.testing.machine import VirtualClock
from tidemill_local.testing.meter import Meter

NOW = 1_790_000_000_000
RUN = "01JZ3NDEKTSV4RRFFQ69G5FAVA"
EVENT = Event("01JZ3NDEKTSV4RRFFQ69G5FAVB", "order/placed", {"order": "o-123456", "total": 4200}, NOW - 9, NOW - 5)
CLAIM = Claimed(NOW, "2026/11/22/[$LATEST]4a5b6c/0f9e8d7c-1111-2222-3333-444455556666", NOW + 60_000, "7")


def head(run_id: str = RUN, **fields: object) -> Head:
    values = {"status": "running", "due": NOW + 60_000, "event_ids": (EVENT.id,), "version": "7", **fields}
    return Head(run_id, "shop.process-order", created_at=NOW, **values)


BIRTH: list[Record] = [Started(NOW, "shop.process-order", (EVENT,), "7"), CLAIM]
CLOSED = HeadChange("completed", None, ended_at=NOW + 9, end=12)


@dataclass
class Measured:
    runs: DynamoRuns
    meter: Meter
    table: Table

    def items(self, run_id: str = RUN) -> dict[str, Item]:
        return {item[SK]: item for item in self.table.query(run_key(run_id))}

    def taken(self) -> tuple[dict[str, int], int, int, float]:
        """(calls by kind, write units of the table, of its indexes, read units) since the last time."""
        meter = self.meter
        taken = {name.split()[1]: n for name, n in meter.summary().items()}, meter.write_units, meter.index_units
        units = (*taken, meter.read_units)
        meter.clear()
        return units


@pytest.fixture
def measured() -> Iterator[Measured]:
    meter = Meter(moto.MotoTransport())
    client, name, bucket = moto.client(meter), moto.fresh("table"), moto.fresh("bucket")
    moto.create_table(client, name)
    moto.create_bucket(client, bucket)
    table = Table(client, name)
    meter.clear()
    yield Measured(DynamoRuns(table, S3Blobs(client, bucket), VirtualClock(NOW)), meter, Table(moto.client(), name))
    client.call("dynamodb", "DeleteTable", {"TableName": name})


def step(number: int) -> StepDone:
    return StepDone(f"step {number}", "run", NOW, NOW + 100, value=b'{"ok": true, "charged": 4200}')


def test_a_run_of_ten_steps_is_thirteen_writes(measured: Measured) -> None:
    """It is found by its event, its function, its due time, and among all runs: each an entry of an index."""
    runs = measured.runs
    assert runs.create(head(), BIRTH)
    assert measured.taken() == ({"PutItem": 1}, 1, 4, 0)
    for number in range(2, 12):
        assert runs.append(RUN, number, [step(number)]) == APPENDED
        assert measured.taken() == ({"PutItem": 1}, 1, 0, 0)
    assert runs.append(RUN, 12, [Ended(NOW, "completed")], CLOSED) == APPENDED
    assert measured.taken() == ({"PutItem": 1, "UpdateItem": 1}, 2, 1, 0)  # the due time is gone
    items = measured.items()
    assert max(map(item_size, items.values())) < 1_024
    assert len(items) == 1 + 10 + 1


def test_a_user_costs_one_index_entry_more(measured: Measured) -> None:
    assert measured.runs.create(head(user="u1"), BIRTH)
    assert measured.taken() == ({"PutItem": 1}, 1, 5, 0)


def test_each_event_that_a_run_gathers_has_a_pointer(measured: Measured) -> None:
    """Whether an event is in such a run is asked before it is put into one, and an index would know it too late."""
    runs, gathering = measured.runs, head(gathers=True, status="scheduled")
    assert runs.create(gathering, BIRTH[:1])
    assert measured.taken() == ({"PutItem": 2}, 1 + 1, 3, 0)
    more = Event("e2", "order/placed", {}, NOW, NOW + 1)
    change = HeadChange("scheduled", NOW + 60_000, event_ids=(EVENT.id, more.id))
    assert runs.append(RUN, 1, [Gathered(NOW + 1, more)], change) == APPENDED
    for event in (EVENT, more):
        assert [found.run_id for found in runs.of_event(event.id)] == [RUN]


def test_a_large_birth_is_an_item_of_its_own(measured: Measured) -> None:
    event = Event("e1", "n", {"text": "x" * 3_000}, NOW, NOW)
    assert measured.runs.create(head(), [Started(NOW, "f", (event,)), CLAIM])
    calls, units, _, _ = measured.taken()
    assert calls == {"PutItem": 2, "GetItem": 1}
    assert units == 4 + 1
    assert item_size(measured.items()[HEAD]) < 600


def test_a_part_of_a_map_is_in_the_index_of_due_times_alone(measured: Measured) -> None:
    part = head(parent=Parent("p", "shop.all", "m", 3, 9), event_ids=(), user="u1")
    assert measured.runs.create(part, BIRTH)
    assert measured.taken() == ({"PutItem": 1}, 1, 1, 0)


def test_suspending_is_one_transaction_and_opening_one_read(measured: Measured) -> None:
    runs = measured.runs
    runs.create(head(), BIRTH)
    measured.taken()
    blocked = (Blocked("nap", "sleep", NOW, NOW + HOUR),)
    change = HeadChange("sleeping", NOW + HOUR)
    assert runs.append(RUN, 2, [Suspended(NOW, NOW + HOUR, blocked)], change) == APPENDED
    assert measured.taken() == ({"TransactWriteItems": 1}, 4, 2, 0)  # the entry of the due time goes and comes
    opened = runs.open(RUN)
    assert opened is not None
    assert len(opened[1]) == 3
    assert measured.taken() == ({"Query": 1}, 0, 0, 1)


def test_a_warm_process_reads_the_head_and_what_is_newer(measured: Measured) -> None:
    """Two calls for one, where that one reads more units than both."""
    runs = measured.runs
    records = [step(number) for number in range(1, 300)]
    runs.create(head(), BIRTH)
    runs.append(RUN, 2, records)
    measured.taken()
    cold = runs.open(RUN)
    assert measured.taken() == ({"Query": 1}, 0, 0, 6)
    assert runs.open(RUN) == cold
    assert measured.taken() == ({"GetItem": 1, "Query": 1}, 0, 0, 2)
    runs.append(RUN, 301, [step(300)])
    measured.taken()
    assert runs.read(RUN, 0) == [CLAIM, *records, step(300)]
    assert measured.taken() == ({"Query": 1}, 0, 0, 1)
    runs.put_snapshot(RUN, 300, b"x" * 20_000)
    runs.append(RUN, 302, [HandedOver(NOW)], HeadChange("running", NOW, snapshot=300))
    measured.taken()
    opened = runs.open(RUN)
    assert opened is not None
    assert opened[1] == [step(300), HandedOver(NOW)]
    assert runs.snapshot(RUN, 300) == b"x" * 20_000
    assert measured.taken() == ({"GetItem": 1, "Query": 1}, 0, 0, 2)


def test_what_else_is_one_call(measured: Measured) -> None:
    runs = measured.runs
    runs.create(head(), BIRTH)
    measured.taken()
    runs.redue(RUN, NOW + 60_000, NOW + 90_000)
    assert measured.taken() == ({"UpdateItem": 1}, 1, 2, 0)
    runs.redue(RUN, NOW, NOW + 1)
    assert measured.taken() == ({"UpdateItem": 1}, 1, 0, 0)
    assert runs.append(RUN, 2, [step(1), step(2), step(3)]) == APPENDED
    assert measured.taken() == ({"PutItem": 1}, 1, 0, 0)
    assert runs.chunk_done(RUN, "m", 0) == 1
    assert measured.taken() == ({"UpdateItem": 1}, 1, 0, 0)
    runs.put_snapshot(RUN, 4, b"x" * 900)
    assert measured.taken() == ({"PutItem": 1}, 1, 0, 0)
    assert runs.head(RUN) is not None
    assert measured.taken() == ({"GetItem": 1}, 0, 0, 1)
    assert runs.birth(RUN) is not None
    assert measured.taken() == ({"Query": 1}, 0, 0, 1)


def test_the_counter_of_a_map_stays_small() -> None:
    numbers = frozenset(range(MAP_CHUNKS))
    assert item_size({"pk": run_key(RUN), "sk": "C#" + "m" * 256, TTL: NOW // SECOND, "done": numbers}) < 1_024


def test_a_list_reads_its_shards_once(measured: Measured) -> None:
    runs = measured.runs
    for n in range(40):
        runs.create(head(f"r{n:02}"), BIRTH)
    measured.taken()
    assert len(runs.page(RunQuery(function_id="shop.process-order", limit=20))) == 20
    calls, _, _, units = measured.taken()
    assert calls == {"Query": 16, "BatchGetItem": 1}
    assert units < 32
    assert len(runs.page(RunQuery(limit=20))) == 20
    assert measured.taken()[0] == {"Query": 16, "BatchGetItem": 1}


def test_a_look_for_overdue_runs_where_none_is(measured: Measured) -> None:
    """Each minute, in every mill: four kinds of open runs, sixteen shards, half a unit each."""
    assert measured.runs.overdue(NOW, 100) == []
    assert measured.taken() == ({"Query": 64}, 0, 0, 32)


def test_a_list_that_would_have_to_look_at_too_much_says_so(
    measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.aws.dynamo.run_lists.EXAMINED", 30)
    for n in range(40):
        measured.runs.create(head(f"r{n:02}", due=None, status="completed"), BIRTH)
    with pytest.raises(TidemillError, match="name a function, a user or a later time"):
        measured.runs.page(RunQuery(status="waiting", limit=5))
    assert measured.runs.page(RunQuery(status="failed", limit=5)) == []


def test_a_large_record_goes_to_the_bucket_unseen(measured: Measured) -> None:
    runs = measured.runs
    runs.create(head(), BIRTH)
    measured.meter.clear()
    big = StepDone("s", "run", NOW, NOW, value=b"x" * 600_000)
    assert runs.append(RUN, 2, [big, step(1)]) == APPENDED
    assert (measured.meter.count("s3", "PUT"), measured.meter.write_units) == (1, 1)
    assert runs.append(RUN, 2, [big]) == Lost([big, step(1)])
    assert runs.read(RUN, 1) == [big, step(1)]
    assert item_size(measured.items()[record_key(2)]) < 200


def test_a_user_that_no_key_could_hold(measured: Measured) -> None:
    for user in ("ü" * 5_000, "x" * 700_000):
        made = head(f"r{len(user)}", user=user)
        assert measured.runs.create(made, BIRTH)
        assert measured.runs.head(made.run_id) == made
        assert measured.runs.page(RunQuery(user=user)) == [made]


# What may be forgotten, and when.


def test_what_a_run_leaves_expires_and_an_open_head_does_not(measured: Measured) -> None:
    runs = measured.runs
    runs.create(head(), BIRTH)
    runs.append(RUN, 2, [step(1)])
    month = NOW + 40 * DAY
    asleep = Suspended(NOW, month, (Blocked("nap", "sleep", NOW, month), Blocked("w", "wait", NOW, None, "e")))
    runs.append(RUN, 3, [asleep], HeadChange("sleeping", month))
    items = measured.items()
    assert TTL not in items[HEAD]
    assert items[record_key(2)][TTL] * SECOND >= NOW + RUN_RETENTION
    assert items[record_key(3)][TTL] * SECOND >= month + RUN_RETENTION
    assert measured.taken() == ({"PutItem": 2, "TransactWriteItems": 1}, 6, 6, 0)
    runs.renew(RUN, month + 400 * DAY)
    items = measured.items()
    assert TTL not in items[HEAD]
    assert min(item[TTL] * SECOND for item in items.values() if TTL in item) >= month + 400 * DAY
    assert measured.taken() == ({"Query": 1, "BatchWriteItem": 1, "UpdateItem": 1}, 3, 0, 1)
    runs.renew(RUN, month + 400 * DAY)
    assert measured.taken()[1] == 1, "what lives long enough is not written again"
    runs.change(RUN, HeadChange("completed", None, ended_at=month, end=4))
    assert measured.items()[HEAD][TTL] * SECOND >= month + RUN_RETENTION


# Calls that succeed and look failed.


class Forgetful:
    """A transport whose first answer to each operation named is lost on the way."""

    def __init__(self, *operations: str) -> None:
        self.inner = moto.MotoTransport()
        self.lost = set(operations)

    def __call__(self, request: Request) -> Reply:
        reply = self.inner(request)
        if request.operation in self.lost:
            self.lost.remove(request.operation)
            raise TimeoutError("the answer was lost")
        return reply


@pytest.fixture
def forgetful(measured: Measured) -> DynamoRuns:
    client = moto.client(Forgetful("PutItem", "UpdateItem", "TransactWriteItems"), sleep=lambda _: None)
    return DynamoRuns(Table(client, measured.table.name), S3Blobs(client, "none"), VirtualClock(NOW))


def test_a_creation_whose_answer_was_lost_is_ours_if_its_claim_is(forgetful: DynamoRuns, measured: Measured) -> None:
    assert forgetful.create(head(event_ids=()), BIRTH)
    assert not measured.runs.create(head(event_ids=()), [BIRTH[0], Claimed(NOW, "another", NOW + 9)])
    assert measured.runs.read(RUN) == BIRTH


def test_an_append_whose_answer_was_lost_finds_itself(forgetful: DynamoRuns, measured: Measured) -> None:
    measured.runs.create(head(), BIRTH)
    assert forgetful.append(RUN, 2, [step(1)]) == Lost([step(1)])
    assert measured.runs.read(RUN) == [*BIRTH, step(1)]


def test_a_transaction_whose_answer_was_lost_is_told_as_done(forgetful: DynamoRuns, measured: Measured) -> None:
    """DynamoDB knows it by its token; moto, which does not, tells that it stands there: both are well."""
    measured.runs.create(head(), BIRTH)
    found = forgetful.append(RUN, 2, [HandedOver(NOW)], HeadChange("running", NOW + 5))
    assert found in (APPENDED, Lost([HandedOver(NOW)]))
    after = measured.runs.head(RUN)
    assert after is not None
    assert after.due == NOW + 5


def test_an_orphaned_birth_gets_its_head_from_who_comes_next(measured: Measured) -> None:
    """Its creator died between the two writes of a large birth; what is in the journal is the dead one's claim."""
    large = Started(NOW, "f", (Event("e1", "n", {"text": "x" * 3_000}, NOW, NOW),))
    dead: list[Record] = [large, Claimed(NOW, "dead", NOW + 9)]

    class Dies:
        def __init__(self) -> None:
            self.inner = moto.MotoTransport()
            self.puts = 0

        def __call__(self, request: Request) -> Reply:
            self.puts += request.operation == "PutItem"
            if self.puts == 2:
                raise KeyboardInterrupt
            return self.inner(request)

    client = moto.client(Dies())
    dying = DynamoRuns(Table(client, measured.table.name), S3Blobs(client, "none"), VirtualClock(NOW))
    with pytest.raises(KeyboardInterrupt):
        dying.create(head(event_ids=()), dead)
    assert measured.runs.head(RUN) is None
    assert measured.runs.open(RUN) is None
    assert not measured.runs.create(head(event_ids=()), [large, CLAIM])
    adopted = measured.runs.open(RUN)
    assert adopted is not None
    assert (adopted[0].run_id, adopted[0].due, adopted[1]) == (RUN, head().due, dead)


def test_a_pointer_that_leads_nowhere_does_not_count(measured: Measured) -> None:
    """Its creator died before the head was put; whoever came next created the run a little later."""
    made = head(gathers=True)
    measured.runs._point(made, made.event_ids)
    assert measured.runs.of_event(EVENT.id) == measured.runs.page(RunQuery()) == []
    later = Head(
        **{name: getattr(made, name) for name in Head.__struct_fields__ if name != "created_at"}, created_at=NOW + 7
    )
    assert measured.runs.create(later, BIRTH)
    assert measured.runs.of_event(EVENT.id) == measured.runs.page(RunQuery()) == [later]


def test_the_runs_of_an_event_are_read_as_they_are_now(measured: Measured) -> None:
    """Only the index may be late: the heads that it names, and the pointers, are read strongly."""
    strong: list[bool] = []
    client = moto.client()
    call = client.call

    def noted(service: str, operation: str, body: Any, **options: Any) -> Any:
        if operation == "BatchGetItem":
            strong.extend(keys["ConsistentRead"] for keys in body["RequestItems"].values())
        elif operation == "Query" and "IndexName" not in body:
            strong.append(body["ConsistentRead"])
        return call(service, operation, body, **options)

    client.call = noted  # type: ignore[method-assign]
    runs = DynamoRuns(Table(client, measured.table.name), S3Blobs(client, "none"), VirtualClock(NOW))
    runs.create(head(), BIRTH)
    assert [found.run_id for found in runs.of_event(EVENT.id)] == [RUN]
    assert strong == [True, True]
