"""The handler around the executor: what Lambda gives it, and what it gives back."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from lambdas.test_executor import Lambda, app
from support.doubles import NOW

from tidemill import App, Debounce
from tidemill import Context as RunContext
from tidemill.aws.function import load_app
from tidemill.aws.function.entry import Entry
from tidemill.aws.function.executor import Executor
from tidemill.aws.function.plain_handler import plain_function
from tidemill.aws.settings import queue_name
from tidemill.errors import JournalError, Unavailable
from tidemill.model import EventTrigger, FunctionSpec
from tidemill_local.store.database import MEMORY, Database

SPEC = FunctionSpec("legacy", "legacy", "legacy", (EventTrigger("order/placed"),), retries=2)


SOON: list[Any] = []  # records that are to come again soon


class Context:
    aws_request_id = "request-1"

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def record(message_id: str, body: Any, function_id: str = "shop.pack") -> dict[str, Any]:
    return {
        "messageId": message_id,
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"SentTimestamp": str(NOW - 20), "ApproximateReceiveCount": "1"},
        "eventSourceARN": f"arn:aws:sqs:eu-west-1:123456789012:{queue_name('test', function_id)}",
    }


@pytest.fixture
def db() -> Iterator[Database]:
    with Database(MEMORY) as database:
        yield database


def entry_of(fn: Lambda, executor: Executor | None = None) -> Entry:
    """An entry whose executor has a world in memory."""
    SOON.clear()
    entry = Entry(lambda: fn.app.functions, fn.metrics, SOON.append)
    entry._executor = executor or fn.executor
    return entry


@pytest.fixture
def fn(db: Database) -> Lambda:
    return Lambda(app, db)


def test_each_message_of_a_batch_is_answered_for_by_itself(fn: Lambda) -> None:
    messages = [
        record("m1", fn.event("order/placed", {"item": "tea"}, id="e1")),
        record("m2", fn.event("order/placed", {"item": "tea"}, id="e2"), "shop.gone"),
        record("m3", "no message at all"),
        record("m4", fn.event("order/placed", {"item": "rum"}, id="e4")),
    ]
    answer = entry_of(fn).handle({"Records": messages}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m2"}]}
    assert [fn.run(event_id).status for event_id in ("e1", "e4")] == ["completed", "completed"]
    assert len(fn.dead) == 1


def test_a_store_that_does_not_answer_brings_the_message_back(fn: Lambda, caplog: pytest.LogCaptureFixture) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("dynamodb PutItem failed 8 times")

    fn.executor._runs._runs = Down()  # type: ignore[assignment]
    answer = entry_of(fn).handle({"Records": [record("m1", fn.event("order/placed"))]}, Context())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    (line,) = caplog.records
    assert "comes again soon: dynamodb PutItem failed" in line.getMessage()
    assert line.exc_info is None
    assert [each["messageId"] for each in SOON] == ["m1"]


class Broken:
    def __getattr__(self, name: str) -> Any:
        raise JournalError("the value 5e88 that a journal refers to is not in the store")


@pytest.mark.parametrize(("times", "done"), [(1, False), (9, False), (10, True), (400, True)])
def test_what_fails_for_no_reason_that_passes_is_buried_in_the_end(fn: Lambda, times: int, done: bool) -> None:
    fn.executor._runs._runs = Broken()  # type: ignore[assignment]
    sent = record("m1", fn.event("order/placed"))
    sent["attributes"]["ApproximateReceiveCount"] = str(times)
    answer = entry_of(fn).handle({"Records": [sent]}, Context())
    assert answer == {"batchItemFailures": [] if done else [{"itemIdentifier": "m1"}]}
    assert SOON == []
    assert len(fn.dead) == done
    if done:
        function_id, body, about = fn.dead[0]
        assert (function_id, body) == ("shop.pack", sent["body"])
        assert "is not in the store" in about["reason"]


def test_an_hour_of_overload_buries_nothing(fn: Lambda) -> None:
    class Down:
        def __getattr__(self, name: str) -> Any:
            raise Unavailable("dynamodb PutItem failed 8 times")

    fn.executor._runs._runs = Down()  # type: ignore[assignment]
    sent = record("m1", fn.event("order/placed"))
    sent["attributes"]["ApproximateReceiveCount"] = "499"
    entry_of(fn).handle({"Records": [sent]}, Context())
    assert fn.dead == []


def test_the_metrics_of_a_message_stand_in_one_line_with_its_ids(fn: Lambda) -> None:
    entry_of(fn).handle({"Records": [record("m1", fn.event("order/placed", {"item": "tea"}))]}, Context())
    (line,) = [json.loads(text) for text in fn.lines]
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert (directive["Namespace"], directive["Dimensions"], line["mill"]) == ("Tidemill", [["mill"]], "test")
    assert {m["Name"]: m["Unit"] for m in directive["Metrics"]} == {
        "QueueAge": "Milliseconds",
        "RunsStarted": "Count",
        "RunsCompleted": "Count",
        "StepDuration": "Milliseconds",
    }
    assert (line["function_id"], line["run_id"], line["event_id"]) == ("shop.pack", fn.run().run_id, "e1")
    assert (line["QueueAge"], line["RunsCompleted"]) == (20, 1)


def test_what_is_logged_while_a_run_is_at_work_says_which(db: Database, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    from tidemill.aws.function import logs

    shop = App("shop")

    @shop.function(on="order/placed")
    def pack(ctx: Any) -> None:
        logging.getLogger("some.library").warning("running out of boxes")

    fn = Lambda(shop, db)
    caplog.handler.addFilter(logs.ids)  # as `logs.install` does for Lambda's own handlers
    try:
        entry_of(fn).handle({"Records": [record("m1", fn.event("order/placed"))]}, Context())
    finally:
        caplog.handler.removeFilter(logs.ids)
    (line,) = [line for line in caplog.records if line.name == "some.library"]
    assert (line.function_id, line.run_id, line.event_id) == ("shop.pack", fn.run().run_id, "e1")  # type: ignore[attr-defined]
    assert logs.ids.now == {}


def test_what_is_no_batch_of_messages_is_told(fn: Lambda) -> None:
    with pytest.raises(ValueError, match="send it an event"):
        entry_of(fn).handle({"key1": "value1"}, Context())


# The user's code.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
            del sys.modules[name]


def load(**environment: str) -> load_app.Functions:
    return load_app.load(environment, lambda: "the context")


def test_an_app_is_found_by_module_and_variable(folder: Path) -> None:
    (folder / "bakery.py").write_text(
        "from tidemill import App\napp = App('bakery')\n@app.function(on='a')\ndef bake(ctx): ...\n"
    )
    assert list(load(TIDEMILL_APP="bakery:app")) == ["bakery.bake"]


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "neither TIDEMILL_APP nor TIDEMILL_HANDLER is set"),
        ({"TIDEMILL_APP": "bakery2"}, "write it like TIDEMILL_APP=shop:app"),
        ({"TIDEMILL_APP": "nowhere:app"}, "ModuleNotFoundError: No module named 'nowhere'"),
        ({"TIDEMILL_APP": "bad_code:app"}, r"ZeroDivisionError: division by zero \(.*bad_code.py, line 2\)"),
        ({"TIDEMILL_APP": "leaves:app"}, "SystemExit"),
        ({"TIDEMILL_APP": "fine:other"}, "the module fine has no other"),
        ({"TIDEMILL_APP": "fine:app"}, "is no App, but int"),
        ({"TIDEMILL_HANDLER": "fine.app"}, "TIDEMILL_FUNCTION must be the function's spec as JSON"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_sentence(folder: Path, environment: dict[str, str], sentence: str) -> None:
    (folder / "bad_code.py").write_text("# nothing\n1 / 0\n")
    (folder / "leaves.py").write_text("raise SystemExit(3)\n")
    (folder / "fine.py").write_text("app = 3\n")
    with pytest.raises(load_app.BadDeploy, match=sentence):
        load(**environment)


def test_a_bad_deploy_fails_the_messages_and_says_so_once_each(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    entry = Entry(lambda: load(TIDEMILL_APP="nowhere:app"))
    entry.warm()
    assert caplog.records == []
    with pytest.raises(load_app.BadDeploy):
        entry.handle({"Records": [record("m1", "{}")]}, Context())
    (line,) = caplog.records
    assert "deploy code that imports" in line.getMessage()


@pytest.mark.parametrize("times", [9, 10, 400])
def test_what_a_bad_deploy_cannot_work_off_becomes_a_dead_letter(folder: Path, times: int) -> None:
    buried: list[tuple[str, str, str]] = []
    entry = Entry(lambda: load(TIDEMILL_APP="nowhere:app"), bury=lambda *told: buried.append(told))
    sent = record("m1", "{}")
    sent["attributes"]["ApproximateReceiveCount"] = str(times)
    if times < 10:
        with pytest.raises(load_app.BadDeploy):
            entry.handle({"Records": [sent]}, Context())
        assert buried == []
        return
    assert entry.handle({"Records": [sent]}, Context()) == {"batchItemFailures": []}
    ((queue, body, reason),) = buried
    assert (queue, body) == (queue_name("test", "shop.pack"), "{}")
    assert "deploy code that imports" in reason


# A deploy that takes a debounce away.


def debounced(**flow: Any) -> App:
    shop = App("shop")

    @shop.function(on="order/placed", id="pack", **flow)
    def pack(ctx: RunContext) -> int:
        return len(ctx.events)

    return shop


def test_a_message_that_comes_again_after_its_debounce_is_gone_starts_no_second_run(db: Database) -> None:
    before, after = Lambda(debounced(debounce=Debounce("1m")), db), Lambda(debounced(), db)
    messages = [record(f"m{n}", before.event("order/placed", id=f"e{n}")) for n in (1, 2)]
    entry_of(before).handle({"Records": messages}, Context())
    (window,) = {head.run_id for n in (1, 2) for head in db.runs.of_event(f"e{n}")}
    for message in messages:
        message["attributes"]["ApproximateReceiveCount"] = "2"
    assert entry_of(after).handle({"Records": messages}, Context()) == {"batchItemFailures": []}
    assert [[head.run_id for head in db.runs.of_event(f"e{n}")] for n in (1, 2)] == [[window], [window]]


# A plain handler.


def plain(db: Database, handler: Any) -> Lambda:
    shop = App("legacy")
    shop.functions["legacy"] = plain_function(SPEC, handler, lambda: "the context")
    return Lambda(shop, db)


def test_a_plain_handler_is_a_function_of_one_step(db: Database) -> None:
    seen: list[Any] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        seen.append((event, context))
        return {"statusCode": 200, "body": "packed"}

    fn = plain(db, handler)
    fn.work("legacy", fn.event("order/placed", {"item": "tea"}))
    run = fn.run()
    assert fn.records()[-1].value == b'{"statusCode":200,"body":"packed"}'
    assert seen == [
        (
            {
                "event": {
                    "id": "e1", "name": "order/placed", "data": {"item": "tea"}, "user": None, "ts": NOW, "v": None,
                },
                "steps": {},
                "ctx": {"function_id": "legacy", "run_id": run.run_id, "step_id": "handler", "attempt": 1},
            },
            "the context",
        )
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("answers", "status", "attempts"),
    [
        ([{"statusCode": 503}, {"statusCode": 200}], "completed", 2),
        ([{"statusCode": 404, "body": "no such order"}], "failed", 1),
        ([{"status": 429}, {"status": 429}, {"status": 429}], "failed", 3),
        ([ValueError("no"), "done"], "completed", 2),
        ([object()], "failed", 1),
        ([None], "completed", 1),
    ],
)
def test_how_a_plain_handler_fails(db: Database, answers: list[Any], status: str, attempts: int) -> None:
    def handler(event: dict[str, Any], context: Any) -> Any:
        answer = answers[event["ctx"]["attempt"] - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    fn = plain(db, handler)
    fn.work("legacy", fn.event("order/placed"))
    assert (fn.run().status, fn.records()[-2].attempts) == (status, attempts)


def test_a_plain_handler_names_the_delay(db: Database) -> None:
    answers = [{"statusCode": 429, "headers": {"Retry-After": "90"}}]
    fn = plain(db, lambda event, context: answers.pop(0))
    fn.work("legacy", fn.event("order/placed"))
    assert fn.queue.looks == [(fn.run().run_id, "legacy", NOW + 90_000)]


def test_a_plain_handler_is_found_by_its_name(folder: Path, db: Database) -> None:
    (folder / "pkg").mkdir()
    (folder / "pkg" / "legacy.py").write_text(
        "def handler(event, context):\n    return [event['ctx']['attempt'], context]\n"
    )
    spec = msgspec.json.encode(SPEC).decode()
    functions = load(TIDEMILL_HANDLER="pkg.legacy.handler", TIDEMILL_FUNCTION=spec)
    shop = App("legacy")
    shop.functions.update(functions)
    fn = Lambda(shop, db)
    fn.work("legacy", fn.event("order/placed"))
    assert fn.records()[-1].value == b'[1,"the context"]'
