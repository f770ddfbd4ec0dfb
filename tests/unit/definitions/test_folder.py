"""What the engine gets to know of a definition; and that a test can run one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from support.first_definition import DEFINITION

from tidemill import DeclarationError
from tidemill.core.definition import Definition, Docker, Http, Lambda, StepSpec, Wasm
from tidemill.core.graph import Awaited, Edge, Node
from tidemill.definitions import folder as definitions
from tidemill.model import CancelSpec, CronTrigger, EventTrigger, FunctionSpec, TimeoutSpec
from tidemill.testing import Mill

SIGNUP = """
{"name": "Signup", "id": "prompt-deer-ede40d",
 "triggers": [{"event": "user/signed.up", "expression": "event.user.created_at > '2020-01-01'"}],
 "steps": {
   "sms":   {"path": "file://./steps/send-sms", "name": "Send SMS", "runtime": {"type": "docker"}},
   "crm":   {"path": "file://./steps/add-to-crm", "runtime": {"type": "lambda"}, "after": [{"step": "sms"}]},
   "hello": {"runtime": {"type": "http", "url": "https://example.com/hook"},
             "after": [{"step": "sms", "if": "steps.sms.ok == true", "wait": "5m"}]},
   "nudge": {"path": "file://./steps/nudge.wasm", "runtime": {"type": "wasm"},
             "after": [{"step": "sms", "async": {"event": "app/opened", "ttl": "2d",
                        "match": "async.data.user_id == event.data.user_id", "onTimeout": true}}]}}}
"""

HTTP = {"type": "http", "url": "https://example.com"}


def write(folder: Path, text: str | dict[str, Any], name: str = "a") -> Path:
    """The definition, and the programs that it names."""
    text = text if isinstance(text, str) else json.dumps(text)
    for path in re.findall(r'"path": *"(?:file://)?\./([^"]*)"', text):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"") if path.endswith(".wasm") else place.mkdir(exist_ok=True)
    file = folder / f"{name}.function.json"
    file.write_text(text)
    return file


def read(folder: Path, steps: dict[str, Any] | None = None, **keys: Any) -> Definition:
    given = {"id": "x", "steps": steps or {"a": {"runtime": HTTP}}, **keys}
    [found] = definitions.read(write(folder, given))
    return found


def step(folder: Path, **keys: Any) -> StepSpec:
    return read(folder, {"a": {"runtime": HTTP, **keys}}).steps[0]


def edge(folder: Path, source: str = "a", **keys: Any) -> Edge:
    steps = {"a": {"runtime": HTTP}, "b-1": {"runtime": HTTP, "after": [{"step": source, **keys}]}}
    return read(folder, steps).steps[1].node.after[0]


# --- whole files ---------------------------------------------------------------------------------------


def test_the_first_definition_of_the_seed(tmp_path: Path) -> None:
    assert definitions.read(write(tmp_path, DEFINITION)) == [
        Definition(
            FunctionSpec(
                id="prompt-deer-ede40d",
                app="definitions",
                name="A beautiful background function",
                triggers=(EventTrigger("user/signed.up", "event.user.created_at > '2020-01-01'"),),
                retries=0,
            ),
            (
                StepSpec(Node("step-1"), Docker(), "Send SMS", "steps/send-sms-dispatch"),
                StepSpec(Node("step-2", (Edge("step-1"),)), Lambda(), "Add user to Intercom", "steps/add-to-intercom"),
            ),
            str(tmp_path),
        )
    ]


def test_the_definition_of_the_contract(tmp_path: Path) -> None:
    [found] = definitions.read(write(tmp_path, SIGNUP))
    awaited = Awaited("app/opened", 172_800_000, "async.data.user_id == event.data.user_id", True)
    assert found.steps == (
        StepSpec(Node("sms"), Docker(), "Send SMS", "steps/send-sms"),
        StepSpec(Node("crm", (Edge("sms"),)), Lambda(), "", "steps/add-to-crm"),
        StepSpec(Node("hello", (Edge("sms", "steps.sms.ok == true", 300_000),)), Http("https://example.com/hook")),
        StepSpec(Node("nudge", (Edge("sms", awaits=awaited),)), Wasm(), "", "steps/nudge.wasm"),
    )


def test_everything_that_a_function_may_say(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        **{
            "$schema": "./function.schema.json",
            "triggers": [
                {"event": "a/*", "expression": "data.total > 1 && size(data.items) > 0"},
                {"cron": "0 9 * * 1-5", "timezone": "Europe/Paris", "jitter": "30s"},
                {"cron": "0 9 * * 1-5"},
            ],
            "concurrency": [{"limit": 1, "key": "user.id"}, {"limit": 9, "scope": "app", "counts": "runs"}],
            "throttle": {"limit": 10, "period": "1m", "burst": 2},
            "rateLimit": {"limit": 10, "period": 60, "key": "event.user.id"},
            "debounce": {"period": "5m", "timeout": "1h"},
            "priority": "event.data.plan == 'pro' ? 120 : 0",
            "singleton": {"mode": "skip"},
            "idempotency": "data.order_id",
            "cancel": [
                {"event": "c", "match": "data.id", "timeout": "1d"},
                {"event": "d", "if": "async.data.id == data.id"},
            ],
            "timeouts": {"start": "1h"},
        },
    )
    assert found.spec == FunctionSpec(
        id="x",
        app="definitions",
        name="x",
        triggers=(
            EventTrigger("a/*", "event.data.total > 1 && size(event.data.items) > 0"),
            CronTrigger("0 9 * * 1-5", "Europe/Paris", 30_000),
            CronTrigger("0 9 * * 1-5"),
        ),
        retries=0,
        cancel_on=(
            CancelSpec("c", match="data.id", timeout=86_400_000),
            CancelSpec("d", when="async.data.id == event.data.id"),
        ),
        timeouts=TimeoutSpec(start=3_600_000),
        flow={
            "concurrency": [
                {"limit": 1, "scope": "function", "counts": "steps", "key": "event.user.id"},
                {"limit": 9, "scope": "app", "counts": "runs"},
            ],
            "throttle": {"limit": 10, "period": 60_000, "burst": 2},
            "rate_limit": {"limit": 10, "period": 60_000, "key": "event.user.id"},
            "debounce": {"period": 300_000, "timeout": 3_600_000},
            "priority": "event.data.plan == 'pro' ? 120 : 0",
            "singleton": {"mode": "skip"},
            "idempotency": "event.data.order_id",
        },
    )


def test_a_schedule_by_name_stands_for_fields(tmp_path: Path) -> None:
    assert read(tmp_path, triggers=[{"cron": "@daily"}]).spec.triggers == (CronTrigger("0 0 * * *"),)


def test_one_of_what_may_be_several(tmp_path: Path) -> None:
    found = read(tmp_path, triggers=[{"event": "a"}], concurrency={"limit": 2}, cancel={"event": "b", "match": "id"})
    assert found.spec.flow == {"concurrency": [{"limit": 2, "scope": "function", "counts": "steps"}]}
    assert found.spec.cancel_on == (CancelSpec("b", "id"),)
    batch = read(tmp_path, triggers=[{"event": "a"}], batchEvents={"maxSize": 100, "timeout": "5s", "key": "data.x"})
    assert batch.spec.flow == {"batch": {"max_size": 100, "timeout": 5_000, "key": "event.data.x"}}


# --- steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("runtime", "program"),
    [
        ({"type": "docker", "image": "acme/sms:2"}, Docker("acme/sms:2")),
        ({"type": "docker", "image": "a", "cpu": 1024}, Docker("a", 1024, 2048)),
        ({"type": "docker", "image": "a", "cpu": 8192, "memory": 20480}, Docker("a", 8192, 20480)),
        ({"type": "lambda", "arn": "arn:aws:lambda:eu-west-1:123456789012:function:crm:live"}, "arn"),
        ({**HTTP, "headers": {"X-Team": "a"}, "private": True}, Http("https://example.com", {"X-Team": "a"}, True)),
        ({"type": "http", "url": "http://127.0.0.1:9/x?y=1"}, Http("http://127.0.0.1:9/x?y=1")),
    ],
)
def test_programs(tmp_path: Path, runtime: dict[str, Any], program: Any) -> None:
    expected = Lambda(runtime["arn"]) if program == "arn" else program
    assert step(tmp_path, runtime=runtime).runtime == expected


def test_programs_with_a_path(tmp_path: Path) -> None:
    options = {"type": "lambda", "handler": "code.main.run", "memory": 256}
    assert step(tmp_path, path="./l", runtime=options).runtime == Lambda(None, "code.main.run", 256)
    assert step(tmp_path, path="./w.wasm", runtime={"type": "wasm", "memory": 8.0, "fuel": 5}).runtime == Wasm(8, 5)
    assert step(tmp_path, path="./d", runtime={"type": "docker", "image": "a"}).path == "d"


@pytest.mark.parametrize("path", ["file://./s/a", "./s/a", "s/a", "./s/./b/../a/", "./s/a%20b"])
def test_a_path_is_relative_and_taken_literally(tmp_path: Path, path: str) -> None:
    (tmp_path / "s" / "a").mkdir(parents=True)
    (tmp_path / "s" / "a%20b").mkdir()
    found = step(tmp_path, path=path, runtime={"type": "docker"})
    assert found.path == ("s/a%20b" if "%" in path else "s/a")


def test_attempts(tmp_path: Path) -> None:
    steps = {"a": {"runtime": HTTP}, "b": {"runtime": HTTP, "retries": {"attempts": 1}, "timeout": "1m"}}
    assert [one.attempts for one in read(tmp_path, steps).steps] == [5, 1]
    assert [one.attempts for one in read(tmp_path, steps, retries={"attempts": 3}).steps] == [3, 1]
    assert [one.timeout for one in read(tmp_path, steps).steps] == [None, 60_000]


# --- edges ---------------------------------------------------------------------------------------------


def test_edges(tmp_path: Path) -> None:
    assert edge(tmp_path) == Edge("a")
    assert edge(tmp_path, "$trigger") == Edge()
    assert edge(tmp_path, wait=90).wait == 90_000
    assert edge(tmp_path, wait="steps.a.delay").wait == "steps.a.delay"
    assert edge(tmp_path, wait="data.hours * 3600").wait == "event.data.hours * 3600"
    assert edge(tmp_path, **{"async": {"event": "e"}}).awaits == Awaited("e")
    found = read(tmp_path, {"a": {"runtime": HTTP, "after": [], "join": "any"}})
    assert found.steps[0].node == Node("a", (Edge(),), "any")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (
            "user.plan == 'user.plan' && event.user.id != null",
            "event.user.plan == 'user.plan' && event.user.id != null",
        ),
        ("data.items.exists(id, id > 2)", "event.data.items.exists(id, id > 2)"),
        ("has(data.x) ? ts > 1 : name in ['a']", "has(event.data.x) ? event.ts > 1 : event.name in ['a']"),
        ("steps['a'].x == data['a-b']", "steps['a'].x == event.data['a-b']"),
        ("type(data.x) == string", "type(event.data.x) == string"),
    ],
)
def test_a_name_alone_is_one_of_the_event(tmp_path: Path, given: str, meant: str) -> None:
    assert edge(tmp_path, **{"if": given}).condition == meant


def test_a_match_is_cel_or_a_path_in_both_events(tmp_path: Path) -> None:
    def match(text: str) -> str | None:
        awaits = edge(tmp_path, **{"async": {"event": "e", "match": text}}).awaits
        assert awaits is not None
        return awaits.when

    assert match("async.user.id == user.id && async.data.n > 1") == "async.user.id == event.user.id && async.data.n > 1"
    assert match("data['video-id']") == "async.data['video-id'] == event.data['video-id']"


# --- many files, and tests -----------------------------------------------------------------------------


def test_a_folder_is_read_by_name_and_not_beneath(tmp_path: Path) -> None:
    for name in ("b", "a", "c/d"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path, {"id": name[0], "steps": {"s": {"runtime": HTTP}}}, name)
    assert [one.spec.id for one in definitions.read(tmp_path)] == ["a", "b"]
    assert [one.spec.id for one in definitions.read(tmp_path / "c", tmp_path)] == ["c", "a", "b"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeclarationError, match=r"empty: there is no \*\.function\.json directly in this folder"):
        definitions.read(tmp_path / "empty")


def test_an_id_in_two_files_names_both(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, {"id": "same", "steps": {"s": {"runtime": HTTP}}}, name)
    with pytest.raises(DeclarationError) as raised:
        definitions.read(tmp_path)
    first, second = tmp_path / "a.function.json", tmp_path / "b.function.json"
    assert str(raised.value) == f"{second}: id: 'same' is the id of {first} too; give one of the two another"


def test_the_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"id": "a", "steps": {}}, "a")
    write(tmp_path, "{", "b")
    with pytest.raises(DeclarationError) as raised:
        definitions.read(tmp_path)
    first, second = raised.value.problems
    assert first == f"{tmp_path}/a.function.json: steps: must not be empty"
    assert second.startswith(f"{tmp_path}/b.function.json: line 1, column 2: is not JSON")


def test_a_definition_runs_on_mill(tmp_path: Path) -> None:
    write(tmp_path, DEFINITION)
    with Mill(definitions.app(tmp_path)) as mill:
        sms = mill.stub("step-1", returns={"sent": True})
        mill.stub("step-2", returns={"ok": True})
        assert not mill.send("user/signed.up", user={"id": "u1", "created_at": "2019-01-01"}).runs
        run = mill.send("user/signed.up", user={"id": "u1", "created_at": "2021-01-01"}).run("prompt-deer-ede40d")
        assert run.output == {"step-2": {"ok": True}}
        assert len(sms.calls) == 1


def test_a_step_that_no_test_has_stubbed_says_so(tmp_path: Path) -> None:
    write(tmp_path, DEFINITION)
    with Mill(definitions.app(tmp_path)) as mill:
        run = mill.invoke("prompt-deer-ede40d")
        assert run.status == "failed"
        assert run.error is not None
        assert "stub the step, mill.stub('step-1', returns=…)" in str(run.error)
