"""Every call and unit of the common stories, as stories.json and docs/aws/costs.md publish them.

Who changes what a story costs changes that table on purpose: `python tests/counts/pages.py` writes it anew.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from counts import pages
from counts.stories import LISTENERS, TYPED, Counted, table

from tidemill.aws.dynamo.keys import INDEXES, PK, SK
from tidemill.aws.dynamo.sizes import item_size
from tidemill_local.cost.data import stories
from tidemill_local.cost.estimate import arriving, running, total
from tidemill_local.testing.meter import index_entry


@pytest.fixture(scope="module")
def counted() -> dict[str, dict[str, Any]]:
    return table()


@pytest.mark.parametrize("name", stories())
def test_a_story_uses_exactly_what_is_published(name: str, counted: dict[str, dict[str, Any]]) -> None:
    assert counted[name] == msgspec.json.decode(pages.DATA.read_bytes())[name]


def test_every_story_is_published(counted: dict[str, dict[str, Any]]) -> None:
    assert list(counted) == list(stories())


def test_an_event_for_many_functions_is_stored_once() -> None:
    """One event, and as many runs as listeners: nothing else."""
    counted = Counted()
    event, one = counted.event_alone(), counted.run(0)
    assert counted.fan_out().story() == one.minus(event).times(LISTENERS).plus(event).story()


def test_schemas_cost_a_read_a_minute_and_nothing_for_each_event() -> None:
    """Neither the events that have none, nor, in a process that knows it, those that have one."""
    counted = Counted()
    without = counted.event_alone().story()
    counted.account.declare_schema(TYPED)
    counted.account.forget_declarations()
    counted.post_alone(TYPED)
    assert counted.post_alone("order/unheard").story() == without
    assert counted.event_alone(name=TYPED).story() == without


def test_who_has_no_schemas_pays_half_a_read_a_minute(counted: dict[str, dict[str, Any]]) -> None:
    alone = Counted()
    warm = alone.event_alone()
    alone.account.forget_declarations()
    cold = alone.post_alone("order/unheard").minus(warm)
    assert cold.story()["calls"] == counted["schema names"]["calls"] == {"dynamodb GetItem": 1}
    assert cold.story()["units"] == {"reads": 0.5}


def test_a_run_that_never_suspends_is_one_invocation_and_n_plus_3_writes(counted: dict[str, dict[str, Any]]) -> None:
    run, step = counted["run"], counted["step"]
    assert run["lambdas"] == {"executor": {"invocations": 1, "trips": run["lambdas"]["executor"]["trips"]}}
    assert (run["units"]["writes"], step["units"]) == (3, {"writes": 1})


def test_before_the_first_line_of_code_there_is_one_round_trip(counted: dict[str, dict[str, Any]]) -> None:
    """The head, with its claim and its first record; what comes after it is the run's end. The indexes follow by
    themselves."""
    assert counted["filing"]["calls"] == {}
    assert counted["run"]["calls"] == {"dynamodb PutItem": 2, "dynamodb Query": 1, "dynamodb UpdateItem": 1}


def test_what_a_waiting_run_keeps() -> None:
    """All its items and entries of indexes, and its event's, with the 100 bytes that DynamoDB adds to each."""
    counted = Counted()
    sent = counted.event("run/waits", steps=0)
    counted.account.post(sent)
    (head,) = counted.account.heads(sent["id"])
    mine = [
        item for item in counted.account.items()
        if any(id in item[key] for id in (head.run_id, sent["id"]) for key in (PK, SK))
    ]  # fmt: skip
    entries = [entry for item in mine for index in INDEXES if (entry := index_entry(item, index))]
    assert max(map(item_size, mine)) < 450
    assert sum(item_size(each) + 100 for each in mine + entries) == pytest.approx(3_100, abs=50)


def test_what_a_million_runs_of_ten_steps_must_not_exceed() -> None:
    runs, events = running(pages.million()), arriving(pages.million())
    assert total(runs) <= 16
    assert total(runs) + total(events) <= 22


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_the_tables_of_the_docs_are_what_was_counted(page: Any) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<!-- table: " in text
    assert pages.filled(text) == text


def test_every_table_is_on_a_page() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in pages.PAGES)
    assert [name for name in pages.TABLES if f"<!-- table: {name} -->" not in text] == []
