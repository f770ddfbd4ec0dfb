"""The stories of examples/ end as they should, on virtual time and with their real durations; from the same events that
`make demo` sends."""

from __future__ import annotations

import importlib
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email import message_from_string
from pathlib import Path
from typing import Any

import pytest

from tidemill import App, RetryAfterError
from tidemill.testing import Mill
from tidemill_local.load.targets import load
from tidemill_local.testing.run import Run

ROOT = Path(__file__).parents[3]
TARGETS = ("examples/signup", "examples/video", "examples/invoices", "examples/coordination", "examples/limits")


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


def part(name: str) -> Any:
    """A module of the examples, which the fixture `apps` has put on the path."""
    return importlib.import_module(f"examples.{name}")


def begun(run: Run) -> float:
    """Seconds after the first of a Mill's day."""
    assert run.started_at is not None
    return round((run.started_at - datetime(2026, 1, 1, tzinfo=UTC)).total_seconds(), 1)


def test_one_recording_of_a_user_at_a_time_two_in_all_and_paying_users_first(mill: Mill, made: Path) -> None:
    mill.stub("ask", returns="short")
    talk_1, talk_2, lecture_1, _, interview = mill.send(sample("recordings")).runs
    assert [run.status for run in (talk_1, lecture_1)] == ["sleeping", "sleeping"]
    assert talk_2.reason == "waits for the only place of 'ann' (concurrency)"
    assert interview.reason == "waits for one of 2 places (concurrency)"
    (of_users, of_all) = mill.http("GET", "/v1/functions/studio.transcribe").json["data"]["places"]
    assert {key["value"]: (key["used"], key["waiting"]) for key in of_users["keys"]} == {
        "ann": (1, 1), "bob": (1, 1), "cyd": (1, 0)
    }  # fmt: skip
    assert (of_all["used"], of_all["waiting"]) == (2, 1)

    mill.advance(hours=1)
    minutes = {run.event.data["recording_id"]: begun(run) / 60 for run in mill.runs("studio.transcribe")}
    assert minutes == {"talk-1": 0, "lecture-1": 0, "interview": 10, "talk-2": 20, "lecture-2": 20}
    assert len(rows(made, "studio", "SELECT * FROM transcripts")) == 5
    assert len(mill.runs("studio.summarize", status="completed")) == 5


def test_an_api_that_allows_ten_calls_a_second(mill: Mill) -> None:
    mill.stub("look up", returns=[0.0, 0.0])
    runs = mill.send(sample("deliveries")).runs
    assert runs[-1].reason == "waits for its turn: 10 in 1s (throttle)"
    mill.advance(seconds=2)
    assert [begun(run) for run in runs] == [round(n / 10, 1) for n in range(12)]
    assert {run.status for run in runs} == {"completed"}


def test_an_eleventh_call_within_a_second_is_refused_and_made_again(mill: Mill) -> None:
    maps, database = part("limits.maps"), part("desk").database
    with database("maps", maps.TABLES) as db:
        db.executemany("INSERT INTO calls VALUES (?)", [(2**40,)] * 10)
    run = mill.send(sample("deliveries")[:1]).run()
    assert run.step("look up").status == "retrying"
    with database("maps", maps.TABLES) as db:
        db.execute("DELETE FROM calls")
    mill.advance(seconds=1)
    assert run.output == [44.84, -0.58]
    lost = mill.send("delivery/planned", {"delivery_id": "d9", "city": "Ys"}).run()
    assert lost.status == "failed"
    assert lost.step("look up").attempts == 1


def test_the_index_is_updated_once_five_seconds_after_the_last_edit(mill: Mill, made: Path) -> None:
    mill.stub("ask", returns="short")
    *tides, wheels = sample("edits")
    for edit in tides:
        mill.send([edit])
        mill.advance(seconds=3)
    run = mill.run("library.index")
    other = mill.send([wheels]).run()
    assert (run.status, run.reason) == ("scheduled", "waits for 5 s of silence (debounce)")
    mill.advance(seconds=2)
    assert (begun(run), other.status) == (11.0, "scheduled")
    assert len(run.event_ids) == 3
    mill.advance(seconds=3)
    assert other.status == "completed"
    assert rows(made, "library", "SELECT * FROM documents ORDER BY doc_id") == [("tides", 1), ("wheels", 1)]
    words = rows(made, "library", "SELECT word FROM entries WHERE doc_id = 'tides'")
    assert ("gate",) in words  # the last edit's
    assert len(mill.runs("library.describe", status="completed")) == 2


def test_functions_of_two_apps_share_the_places_of_one_api(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    mill.send(sample("edits")[-1:])
    mill.advance(seconds=6)
    assert mill.run("library.describe").output == "An undershot wheel turns in the stream."
    views = [
        mill.http("GET", f"/v1/functions/{name}").json["data"] for name in ("library.describe", "studio.summarize")
    ]
    assert [view["places"] for view in views] == [
        [{"scope": "account", "counts": "steps", "key": "'model api'", "limit": 2, "used": 0, "waiting": 0,
          "oldest_wait": None, "keys": []}]
    ] * 2  # fmt: skip


def test_a_third_call_of_the_model_is_turned_away(apps: list[App], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the shared limit is there for."""
    assert apps
    model, database = part("limits.model"), part("desk").database
    monkeypatch.setattr(time, "sleep", lambda _: None)
    now = time.time()
    with database("model", model.TABLES) as db:
        db.executemany("INSERT INTO calls VALUES (?, NULL)", [(now,), (now + 1,)])
    with pytest.raises(RetryAfterError):
        model.ask("One. Two.", 1)
    with database("model", model.TABLES) as db:
        db.execute("UPDATE calls SET ended = began")
    assert model.ask("One. Two.", 1)
