"""What the local server asks of the SQLite stores besides the ports, and that no list reads the whole table."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tidemill.core.journal import Claimed, HandedOver, Started, encode
from tidemill.errors import JournalError
from tidemill.model import Event, Head, HeadChange
from tidemill.ports import EventQuery, RunQuery
from tidemill_local.store import events as event_rows
from tidemill_local.store import runs as run_rows
from tidemill_local.store.database import MEMORY, Database

NOW = 1_000
BORN = Started(NOW, "f", (Event("e1", "n", {}, 1, 1),))


@pytest.fixture
def db() -> Iterator[Database]:
    with Database(MEMORY) as db:
        yield db


def born(db: Database, run_id: str, at: int = NOW, **fields: object) -> None:
    values: dict[str, object] = {"function_id": "f", "status": "running", "due": NOW + 500, **fields}
    assert db.runs.create(Head(run_id=run_id, created_at=at, **values), [BORN])  # type: ignore[arg-type]  # as named


def test_encoded_records_are_stored_as_they_are(db: Database) -> None:
    born(db, "r1")
    claim, step = Claimed(NOW, "b/1", 9), HandedOver(NOW)
    assert db.runs.append_raw("r1", 1, [encode(claim), encode(step)], HeadChange("waiting", 7)) is None
    assert db.runs.read("r1") == [BORN, claim, step]
    assert db.runs.read_raw("r1", after=0) == [encode(claim), encode(step)]
    assert db.runs.append_raw("r1", 2, [encode(claim)]) == [encode(step)]
    assert db.runs.overdue(7, 1)[0].status == "waiting"


def test_a_record_that_cannot_be_read_is_an_error(db: Database) -> None:
    born(db, "r1")
    db.runs.append_raw("r1", 1, [b"\xc1"])
    with pytest.raises(JournalError, match="run r1 holds a record that cannot be read"):
        db.runs.read("r1")


def test_appending_to_no_run_is_an_error(db: Database) -> None:
    with pytest.raises(JournalError, match="no run r1"):
        db.runs.append("r1", 0, [BORN])


def test_a_new_run_is_found_without_a_read(db: Database) -> None:
    """The hot path: started, looked at, claimed, ended, and nobody waits for that."""
    db.events.paths("n")
    db.waits.awaited("n")
    said: list[str] = []
    db._connection.set_trace_callback(said.append)
    born(db, "r1")
    assert db.runs.head("r1") is not None
    assert db.runs.read("r1") == [BORN]
    db.runs.append("r1", 1, [HandedOver(NOW)], HeadChange("completed", None))
    assert db.events.paths("n") == {}
    assert not db.waits.awaited("n")
    db._connection.set_trace_callback(None)
    assert any(sql.startswith("INSERT") for sql in said)
    assert [sql for sql in said if sql.startswith("SELECT")] == []


def test_large_records_are_not_remembered(db: Database) -> None:
    big = Started(NOW, "f", (Event("e1", "n", {"text": "x" * 100_000}, 1, 1),))
    for n in range(100):
        assert db.runs.create(Head(f"r{n}", "f", "running", NOW, None), [big])
    assert db.runs._fresh == {}
    assert db.runs.read("r99") == [big]


def test_next_due_is_the_earliest(db: Database) -> None:
    assert db.runs.next_due() is None
    born(db, "r1", due=70)
    born(db, "r2", due=50)
    assert db.runs.next_due() == 50
    db.runs.change("r2", HeadChange("completed", None))
    assert db.runs.next_due() == 70


def test_ready_runs_are_what_was_begun_or_may_begin_oldest_first(db: Database) -> None:
    born(db, "late", NOW + 9, status="scheduled")
    born(db, "begun", NOW + 2)
    born(db, "queued", NOW + 1, status="scheduled", reason="its function is not declared")
    born(db, "due", NOW + 3, status="scheduled", not_before=NOW)
    born(db, "ahead", NOW, status="scheduled", not_before=NOW + 1)
    born(db, "asleep", NOW, status="sleeping")
    born(db, "waits", NOW, status="waiting")
    born(db, "ended", NOW, status="completed", due=None)
    assert list(db.runs.open_ready(NOW)) == [("queued", "f"), ("begun", "f"), ("due", "f"), ("late", "f")]


def test_ready_runs_come_in_pages_while_they_change(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_rows, "_PAGE", 3)
    names = [f"r{number:02}" for number in range(20)]
    for number, run_id in enumerate(names):
        born(db, run_id, NOW + number // 4, status="scheduled" if number % 3 else "running")
    seen: list[str] = []
    for run_id, _ in db.runs.open_ready(NOW):
        seen.append(run_id)
        db.runs.append(run_id, 1, [HandedOver(NOW)], HeadChange("completed", None))
        db.commit()
    assert seen == names


def test_held_runs_of_a_function(db: Database) -> None:
    born(db, "b", NOW, status="scheduled", reason="held")
    born(db, "a", NOW + 1, status="sleeping", reason="held")
    born(db, "free", NOW)
    born(db, "other", NOW, function_id="g", reason="held")
    born(db, "ended", NOW, status="cancelled", reason="by hand", due=None)
    assert db.runs.held("f") == ["b", "a"]
    assert db.runs.held("h") == []


def test_counts_are_of_open_runs_by_function(db: Database) -> None:
    for function_id, statuses in (("f", ["running", "running", "scheduled", "failed"]), ("g", ["scheduled"])):
        for number, status in enumerate(statuses):
            born(db, f"{function_id}{number}", function_id=function_id, status=status)
    born(db, "h", function_id="h", status="completed")
    assert db.runs.counts() == {"f": {"running": 2, "scheduled": 1}, "g": {"scheduled": 1}}


# Indexes: nothing the server asks may read or sort a whole table (the runs of one millisecond may be sorted).


def plan(db: Database, sql: str, values: list[int | str | float | bytes | None]) -> str:
    return "; ".join(str(row[3]) for row in db.rows("EXPLAIN QUERY PLAN " + sql, values))


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (RunQuery(), "run_created"),
        (RunQuery(after=5, cursor=(9, "r")), "run_created"),
        (RunQuery(function_id="f"), "run_function (function_id=?"),
        (RunQuery(status="failed"), "run_status (status=?"),
        (RunQuery(status="completed"), "run_created"),
        (RunQuery(function_id="f", status="running", after=5, cursor=(9, "r")), "run_status (status=? AND created_at"),
        (RunQuery(function_id="f", status="completed"), "run_function (function_id=?"),
        (RunQuery(user="u", function_id="f", status="failed", after=5), "run_user (user=?"),
    ],
)
def test_run_lists_use_their_index(db: Database, query: RunQuery, index: str) -> None:
    where, order, values = run_rows._conditions(query)
    assert order == "ORDER BY created_at DESC, n DESC"
    used = plan(db, f"SELECT * FROM run {where} {order} LIMIT 50", values)
    assert index in used
    assert "TEMP B-TREE FOR ORDER BY" not in used


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (EventQuery(), "event_received"),
        (EventQuery(after=5, cursor=(9, "r")), "event_received (received_at"),
        (EventQuery(name="n", after=5), "event_name (name=? AND received_at"),
        (EventQuery(user="u", name="n"), "event_user (user=?"),
    ],
)
def test_event_lists_use_their_index(db: Database, query: EventQuery, index: str) -> None:
    where, order, values = event_rows._conditions(query)
    assert order == "ORDER BY received_at DESC, n DESC"
    used = plan(db, f"SELECT data FROM event WHERE {where} {order} LIMIT 50", values)
    assert index in used
    assert "TEMP B-TREE FOR ORDER BY" not in used


def test_the_sweep_and_the_boot_use_their_index(db: Database) -> None:
    assert "run_due" in plan(db, "SELECT due FROM run WHERE due IS NOT NULL ORDER BY due LIMIT 1", [])
    ready = plan(db, run_rows._READY, ["running", 1, 2, 3, 4])
    assert "run_status (status=? AND created_at" in ready
    assert "TEMP B-TREE FOR ORDER BY" not in ready
