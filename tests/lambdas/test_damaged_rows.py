"""A row that cannot be read hides none of the others of its list: it is named beside them."""

from __future__ import annotations

import pytest
from lambdas.conftest import Caller

from tidemill.core.journal import Ended
from tidemill.engine.runs.end import finish
from tidemill_local.store.runs import SqliteRuns


def listed(call: Caller, path: str) -> tuple[list[str], list[str]]:
    """The ids of all pages, and those of the damaged rows."""
    rows: list[str] = []
    damaged: list[str] = []
    cursor = ""
    while True:
        answer = call.get(f"{path}?limit=2{cursor}")
        assert answer.status == 200
        rows += [row.get("run_id") or row["id"] for row in answer.json["data"]]
        for row in answer.json.get("damaged", []):
            assert "cannot be read" in row["error"]
            damaged.append(row["id"])
        if answer.json["cursor"] is None:
            return rows, damaged
        cursor = f"&cursor={answer.json['cursor']}"


def damage(call: Caller, sql: str) -> None:
    runs = call.world.runs
    assert isinstance(runs, SqliteRuns)
    assert runs._db.write(sql).rowcount == 1
    runs.forget()


@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_damaged_event_is_named_beside_the_others(call: Caller, at: int) -> None:
    ids = call.send(*({"name": "n", "id": f"e{number}"} for number in range(1, 6)))
    damage(call, f"UPDATE event SET data = x'c1ff' WHERE id = 'e{at}'")
    assert listed(call, "/v1/events") == ([id for id in reversed(ids) if id != f"e{at}"], [f"e{at}"])


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE run SET event_ids = x'c1' WHERE run_id = '{}'",
        "UPDATE run SET created_at = 'soon' WHERE run_id = '{}'",
        "UPDATE journal SET data = x'c1' WHERE seq = 2 AND n = (SELECT n FROM run WHERE run_id = '{}')",
        "DELETE FROM journal WHERE seq = 2 AND n = (SELECT n FROM run WHERE run_id = '{}')",
    ],
)
def test_a_damaged_run_is_named_beside_the_others(call: Caller, sql: str) -> None:
    events = call.send(*({"name": "user/signed.up", "id": f"e{number}"} for number in range(3)))
    runs = [run_id for event in reversed(events) for run_id in reversed(call.runs_of(event))]
    for run_id in runs:
        call.claim(run_id)
        call.append(run_id, Ended(7, "completed", b'"done"'))
        finish(call.world, run_id)
    damage(call, sql.format(runs[1]))
    rows, damaged = listed(call, "/v1/runs")
    if "DELETE" in sql:
        assert rows == runs  # its end is not there to be shown; that is no reason to hide its head
        return
    assert (sorted(rows), damaged) == (sorted({*runs} - {runs[1]}), [runs[1]])
    beside = [call.get(f"/v1/events/{event}/runs").json.get("damaged", []) for event in events]
    assert [row["id"] for found in beside for row in found] == [runs[1]]


def test_a_page_ends_before_its_events_are_too_many_bytes(call: Caller) -> None:
    ids = [call.send({"name": "n", "id": f"e{number}", "data": {"x": "x" * 700_000}})[0] for number in range(14)]
    first = call.get("/v1/events?limit=1000").json
    assert [row["id"] for row in first["data"]] == ids[:-6:-1]
    assert listed(call, "/v1/events") == (ids[::-1], [])
