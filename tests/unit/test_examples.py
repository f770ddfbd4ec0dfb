"""The stories of examples/ end as they should, on virtual time and with their real durations; from the same events that
`make demo` sends."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

from tidemill import App
from tidemill.testing import Mill
from tidemill_local.targets import load

ROOT = Path(__file__).parents[2]
TARGETS = ("examples/signup", "examples/video", "examples/invoices", "examples/coordination")


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stories put what they make."""
    monkeypatch.setenv("TIDEMILL_EXAMPLES", str(tmp_path))
    return tmp_path


@pytest.fixture
def apps(made: Path, monkeypatch: pytest.MonkeyPatch) -> list[App]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    return load(TARGETS, ROOT).apps


@pytest.fixture(params=[False, True], ids=["straight through", "replayed after every step"])
def mill(apps: list[App], request: pytest.FixtureRequest) -> Iterator[Mill]:
    with Mill(*apps, replays=request.param) as mill:
        yield mill


def sample(name: str) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in (ROOT / "events" / "samples" / f"{name}.ndjson").read_text("utf-8").splitlines()
    ]


def rows(made: Path, database: str, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(made / f"{database}.sqlite3")) as connection:
        return connection.execute(query).fetchall()


def test_one_signup_starts_five_functions_in_two_apps(mill: Mill, made: Path) -> None:
    runs = mill.send(sample("signup")).runs
    mill.advance(minutes=1)
    assert {run.function_id: run.status for run in runs} == {
        "crm.add-contact": "completed",
        "crm.score-lead": "completed",
        "crm.open-trial": "completed",
        "mail.welcome": "completed",
        "mail.subscribe": "completed",
    }
    assert rows(made, "crm", "SELECT * FROM contacts") == [("ada", "Ada", "ada@lovelace.example", "Lovelace")]
    assert rows(made, "crm", "SELECT score FROM scores") == [(72,)]
    assert rows(made, "crm", "SELECT plan, ends_on FROM trials") == [("pro", "2026-01-15")]
    assert rows(made, "mail", "SELECT email FROM subscribers") == [("ada@lovelace.example",)]


def test_a_letter_refused_twice_arrives_and_the_others_do_not_wait_for_it(mill: Mill, made: Path) -> None:
    sent = mill.send(sample("signup"))
    welcome = sent.run("mail.welcome")
    assert welcome.status == "running"
    assert welcome.step("deliver").status == "retrying"
    assert [run.status for run in sent.runs if run != welcome] == ["completed"] * 4
    mill.advance(minutes=1)
    assert welcome.step("deliver").attempts == 3
    letter = message_from_string((made / "outbox" / "welcome-ada.eml").read_text("utf-8"))
    assert letter["To"] == "ada@lovelace.example"
    assert "Dear Ada," in letter.get_payload()


def test_a_free_plan_starts_no_trial(mill: Mill) -> None:
    (event,) = sample("signup")
    runs = mill.send([{**event, "data": {**event["data"], "plan": "free"}}]).runs
    assert "crm.open-trial" not in {run.function_id for run in runs}


def test_an_address_that_is_none_is_not_tried_again(mill: Mill) -> None:
    (event,) = sample("signup")
    welcome = mill.send([{**event, "data": {**event["data"], "email": "nowhere"}}]).run("mail.welcome")
    assert welcome.status == "failed"
    assert welcome.step("deliver").attempts == 1


def test_a_video_is_transcribed_counted_summarized_and_written_to_the_database(mill: Mill, made: Path) -> None:
    run = mill.send(sample("video")).run("video.process-video")
    assert run.status == "completed"
    assert run.output["words"] == 356
    assert "the sea pushes the gate open" in run.output["summary"][0]
    assert rows(made, "video", "SELECT video_id, user_id, seconds, words FROM videos") == [
        ("tide-mills", "ada", 125.6, 356)
    ]
    assert rows(made, "video", "SELECT word, count FROM words ORDER BY count DESC LIMIT 1") == [("pond", 8)]
    assert [event.data for event in mill.sent("video/processed")] == [{"video_id": "tide-mills"}]


def test_a_subtitle_file_that_is_none_fails_the_run_with_its_place(mill: Mill) -> None:
    (event,) = sample("video")
    run = mill.send([{**event, "data": {**event["data"], "file": "broken.srt"}}]).run("video.process-video")
    assert run.status == "failed"
    assert run.step("transcribe").attempts == 1
    assert run.error is not None
    assert "broken.srt: block 2 is no cue" in run.error.message


def test_an_empty_upload_starts_nothing(mill: Mill) -> None:
    (event,) = sample("video")
    assert mill.send([{**event, "data": {**event["data"], "size": 0}}]).runs == []


def test_invoices_are_charged_when_due_reminded_for_days_and_given_up(mill: Mill, made: Path) -> None:
    mill.send(sample("deposits"))
    ada, bob, eve = mill.send(sample("invoices")).runs
    assert {run.status for run in (ada, bob, eve)} == {"sleeping"}

    mill.advance(days=11)  # eve's was due after 7 days, bob's after 10
    assert (ada.status, bob.status, eve.status) == ("sleeping", "waiting", "waiting")
    assert len(list((made / "outbox").glob("2026-003-reminder-*"))) == 5
    mill.send(sample("late_deposit"))  # at once, not at the end of bob's day
    assert bob.output["status"] == "paid"
    assert bob.output["reminders"] == 2

    mill.advance(days=4)
    assert ada.output == {"status": "paid", "reminders": 0, "receipt": str(made / "receipts" / "2026-001.txt")}
    assert eve.output == {"status": "written off", "reminders": 5}
    assert (made / "receipts" / "2026-002.txt").read_text("utf-8").splitlines()[1] == "Paid: 99.00 EUR"
    assert rows(made, "bank", "SELECT account, sum(cents) FROM ledger GROUP BY account ORDER BY account") == [
        ("ada-giro", 38000),
        ("bob-giro", 11100),
    ]


def test_days_shortened_by_an_argument_take_the_same_way(mill: Mill) -> None:
    mill.send(sample("deposits"))
    events = [{**event, "data": {**event["data"], "day": "400ms"}} for event in sample("invoices")]
    ada, bob, eve = mill.send(events).runs
    mill.advance(seconds=7)
    assert [run.output["status"] for run in (ada, bob, eve)] == ["paid", "written off", "written off"]
    assert [run.output["reminders"] for run in (ada, bob, eve)] == [0, 5, 5]


def test_a_charge_whose_process_dies_takes_the_money_once(mill: Mill, made: Path) -> None:
    mill.send(sample("deposits"))
    mill.crash("charge")
    ada = mill.send(sample("invoices")[:1]).run("billing.collect")
    mill.advance(days=15)
    assert ada.output["status"] == "paid"
    assert ada.step("charge").attempts == 2
    assert rows(made, "bank", "SELECT sum(cents) FROM ledger WHERE account = 'ada-giro'") == [(38000,)]


def test_b_if_the_other_event_of_the_same_user_comes_and_c_if_not(mill: Mill, made: Path) -> None:
    ada, bob = mill.send(sample("trials")).runs
    mill.advance(days=2)
    mill.send(sample("first_project"))
    assert ada.output == "made Analytical Engine"
    assert bob.status == "waiting"
    mill.advance(days=1)
    assert bob.output == "needs help"
    assert rows(made, "onboarding", "SELECT user_id, badge FROM badges") == [("ada", "first project")]
    assert rows(made, "onboarding", "SELECT user_id FROM tickets") == [("bob",)]
    assert (made / "outbox" / "guide-bob.eml").exists()
