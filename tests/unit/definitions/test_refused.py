"""What is refused in a definition: every problem by its path, and one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tidemill.definitions import folder as definitions

HTTP = {"type": "http", "url": "https://example.com"}
DOCKER = {"type": "docker"}


def problems(folder: Path, given: Any) -> list[str]:
    file = folder / "x.function.json"
    file.write_bytes(given if isinstance(given, bytes) else msgspec.json.encode(given))
    found = definitions.read_file(file)
    assert len(set(found.problems)) == len(found.problems)
    assert (found.definition is None) == bool(found.problems)
    return list(found.problems)


def of_function(folder: Path, **keys: Any) -> list[str]:
    return problems(folder, {"id": "x", "steps": {"a": {"runtime": HTTP}}, **keys})


def of_step(folder: Path, **keys: Any) -> list[str]:
    return problems(folder, {"id": "x", "steps": {"a": {"runtime": HTTP, **keys}}})


def of_edge(folder: Path, **keys: Any) -> list[str]:
    """Of an edge from `a` to `b-1`; `c` stands apart."""
    steps: dict[str, Any] = {id: {"runtime": HTTP} for id in ("a", "b-1", "c", "a-2")}
    steps["b-1"]["after"] = [{"step": "a", **keys}]
    return problems(folder, {"id": "x", "steps": steps})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{\n "id": "x",\n}', "line 3, column 1: is not JSON: "),
        (b'{"id": "x"} {}', "line 1, column 13: is not JSON: extra data"),
        (b"", "line 1, column 1: is not JSON: expecting value"),
        (b'{\n"id": "NaN", "a": NaN}', "line 2, column 19: is not JSON: there is no number NaN"),
        (b'{"id":\n "\xff"}', "line 2: is not UTF-8"),
        (b'{"n":"1e999",\n"a": ' + b"9" * 5000 + b"}", "line 2, column 6: this number is too large"),
        (b'{"id": "x", "a": [-1e999]}', "line 1, column 19: this number is too large"),
        (b"[" * 5000, "the file: is nested more than 100 deep"),
        (b'{"id": "x", "steps": {"a": {}, "b": {}, "a": {}}}', "steps.a: is there twice; keep one of the two"),
        (b'{"id": "\\ud800"}', "id: holds half of a surrogate pair"),
        (b"[]", "the file: must be an object, not a list"),
    ],
)
def test_text_that_is_no_json(tmp_path: Path, text: bytes, problem: str) -> None:
    [found] = problems(tmp_path, text)
    assert found.startswith(problem)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert definitions.read_file(tmp_path / "gone").problems == ("the file: cannot be read: No such file or directory",)


def test_everything_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        {
            "nme": "x",
            "triggers": [{"event": "a", "expression": "usr.x > 1"}, {"evnt": "b"}, 5],
            "steps": {
                "sms": {"runtime": {"type": "docker"}, "after": [{"step": "smss"}]},
                "crm": {"runtime": {"type": "lambda"}, "path": "./gone", "retries": {"attempts": 0}},
            },
            "rateLimit": {"limit": 1},
            "timeouts": {"finish": "5 years"},
        },
    )
    assert [problem.split(": ")[0] for problem in found] == [
        *("id", "nme", "triggers[1].event", "triggers[1].evnt", "triggers[2]", "steps.sms.path"),
        *("steps.crm.retries.attempts", "rateLimit.period", "timeouts.finish", "triggers[0].expression"),
        *("steps.sms.after[0].step", "steps.crm.path"),
    ]


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"id": "-x"}, "id: a function id has up to 128 letters, digits, hyphens and underscores"),
        ({"id": "a.b"}, "id: a function id has"),
        ({"id": None}, "id: a function id has"),
        ({"nme": "x"}, "nme: is not known here; did you mean 'name'?"),
        ({"batch_events": {}}, "batch_events: is not known here; did you mean 'batchEvents'?"),
        ({"xyz": 1}, "xyz: is not known here; there are id, name, triggers, steps,"),
        ({"steps": {}}, "steps: must not be empty"),
        ({"steps": {"a b": {"runtime": HTTP}}}, "steps['a b']: a step id has 1 to 64 letters"),
        ({"steps": {"x" * 65: {"runtime": HTTP}}}, f"steps.{'x' * 65}: a step id has 1 to 64"),
        ({"steps": {f"s{i}": {"runtime": HTTP} for i in range(501)}}, "steps: must have at most 500 keys"),
        ({"triggers": [{"event": "a*b"}]}, "triggers[0].event: an event name has 1 to 256 characters; a '*' may only"),
        ({"triggers": [{"event": "tidemill/x"}]}, "triggers[0].event: the platform sends no 'tidemill/x'"),
        ({"triggers": [{"event": "a"}] * 2}, "triggers[1]: is the same trigger as triggers[0]"),
        ({"triggers": [{"event": f"a{i}"} for i in range(11)]}, "triggers: must have at most 10 entries"),
        ({"triggers": [{"event": "a", "expression": "steps.a.x"}]}, "triggers[0].expression: in the expression"),
        ({"triggers": [{"event": "a", "expression": "data.x =="}]}, "triggers[0].expression: the expression"),
        ({"triggers": [{"cron": "@nightly"}]}, "triggers[0].cron: a schedule by name is one of @hourly, @daily,"),
        ({"triggers": [{"cron": "* *"}]}, "triggers[0].cron: a cron expression has five fields"),
        ({"triggers": [{"cron": "* * * * *", "timezone": "Mars"}]}, "triggers[0].timezone: there is no time zone"),
        ({"triggers": [{"cron": "* * * * *", "jitter": "2d"}]}, "triggers[0].jitter: must be at most 1d, not '2d'"),
        ({"triggers": [{"cron": "* * * * *", "event": "a"}]}, "triggers[0].event: is not known here"),
        ({"retries": {"attempts": 22}}, "retries.attempts: must be a whole number from 1 to 21, not 22"),
        ({"retries": {"attempts": True}}, "retries.attempts: must be a whole number from 1 to 21, not true"),
        ({"throttle": {"limit": 1.5, "period": 1}}, "throttle.limit: must be a whole number from 1, not 1.5"),
        ({"throttle": {"limit": 1, "period": "0s"}}, "throttle.period: must be longer than 0, not '0s'"),
        ({"throttle": {"limit": 1, "period": 0}}, "throttle.period: a duration is seconds, or text"),
        ({"rateLimit": {"limit": 1, "period": "x"}}, "rateLimit.period: a duration is seconds, or text"),
        ({"rateLimit": {"limit": 1, "period": 1e300}}, "rateLimit.period: must be at most 36525d, not 1e+300"),
        (
            {"debounce": {"period": "1m"}},
            "debounce: collects events, and no event starts this function; name one in",
        ),
        ({"concurrency": []}, "concurrency: must not be empty"),
        ({"concurrency": [{"limit": 1}] * 2}, "concurrency: two limits count the same thing"),
        ({"concurrency": [{"limit": 1}, {"limit": 2, "key": "x.y"}]}, "concurrency[1].key: in the expression 'x.y'"),
        ({"concurrency": 5}, "concurrency: must be an object or a list, not 5"),
        ({"singleton": {"mode": "wait"}}, "singleton.mode: must be 'skip' or 'cancel', not 'wait'"),
        ({"priority": 5}, "priority: must be text, not 5"),
        ({"idempotency": "async.data.x"}, "idempotency: in the expression 'async.data.x', column 1: 'async' is not"),
        ({"cancel": {"event": "a"}}, "cancel: would cancel every run; give match or if"),
        ({"cancel": {"event": "a*"}}, "cancel.event: an awaited event has one exact name"),
        ({"cancel": [{"event": "a", "match": "a == b"}]}, "cancel[0].match: match 'a == b' is not a path of an event"),
        ({"cancel": {"event": "a", "match": "data.x", "if": "async.data.x"}}, "cancel.match: give match or if"),
        ({"cancel": [{"event": "a"}] * 6}, "cancel: must have at most 5 entries"),
        ({"timeouts": {}}, "timeouts: must not be empty"),
        ({"timeouts": {"start": "-5m"}}, "timeouts.start: a duration is seconds"),
    ],
)
def test_functions(tmp_path: Path, keys: dict[str, Any], problem: str) -> None:
    [found] = of_function(tmp_path, **keys)
    assert found.startswith(problem)


def test_flow_control_together_is_told_in_the_words_of_the_file(tmp_path: Path) -> None:
    batch = {"maxSize": 5, "timeout": "5s"}
    rate = {"limit": 1, "period": 1}
    [found] = of_function(tmp_path, triggers=[{"event": "a"}], batchEvents=batch, rateLimit=rate)
    assert found.startswith("batchEvents: cannot be combined with rateLimit: ")
    keyed = {"limit": 1, "key": "event.data.rate_limit"}
    [found] = of_function(tmp_path, triggers=[{"event": "a"}], batchEvents=batch, concurrency=keyed)
    assert "'event.data.rate_limit'" in found


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"runtime": DOCKER}, "steps.a.path: is missing: a docker step has the path of its folder, or an image"),
        ({"runtime": {"type": "lambda"}}, "steps.a.path: is missing: a lambda step has the path of its folder, or the"),
        ({"runtime": {"type": "wasm"}}, "steps.a.path: is missing: a wasm step has the path of its .wasm file"),
        ({"path": "./a"}, "steps.a.path: an http step has no code of its own: its runtime says the url"),
        ({"runtime": DOCKER, "path": "./gone"}, "steps.a.path: there is no such folder: './gone', looked for at "),
        ({"runtime": DOCKER, "path": "./file"}, "steps.a.path: is a file, not a folder: './file'"),
        ({"runtime": {"type": "wasm"}, "path": "./gone.wasm"}, "steps.a.path: there is no such file: './gone.wasm'"),
        ({"runtime": {"type": "wasm"}, "path": "."}, "steps.a.path: is a folder, not a .wasm file: '.'"),
        ({"runtime": DOCKER, "path": "../a"}, "steps.a.path: leads out of the definition's folder: '../a'"),
        ({"runtime": DOCKER, "path": "./a/../../b"}, "steps.a.path: leads out of the definition's folder"),
        ({"runtime": DOCKER, "path": "/etc"}, "steps.a.path: a path is relative to the definition file"),
        ({"runtime": DOCKER, "path": "file:///etc"}, "steps.a.path: a path is relative to the definition file"),
        ({"runtime": DOCKER, "path": "https://x/y"}, "steps.a.path: a path is relative to the definition file"),
        ({"runtime": DOCKER, "path": ""}, "steps.a.path: a path is relative to the definition file"),
        ({"runtime": {}}, "steps.a.runtime.type: is missing"),
        ({"runtime": {"type": "dcker"}}, "steps.a.runtime.type: must be 'docker', 'lambda', 'http' or 'wasm', not"),
        ({"runtime": {**HTTP, "image": "x"}}, "steps.a.runtime.image: is not known here; there are type, url"),
        ({"runtime": {"type": "http"}}, "steps.a.runtime.url: is missing"),
        ({"runtime": {"type": "http", "url": "ftp://x"}}, "steps.a.runtime.url: a url begins with https:// or http://"),
        ({"runtime": {**HTTP, "headers": {"a b": "x"}}}, "steps.a.runtime.headers['a b']: a header's name has letters"),
        ({"runtime": {**HTTP, "headers": {"a": "x\r\ny"}}}, "steps.a.runtime.headers.a: a header's value is text"),
        (
            {"runtime": {"type": "docker", "image": "x", "cpu": 512, "memory": 512}},
            "steps.a.runtime.memory: with cpu 512 Fargate has 1024, 2048, 3072, 4096 MB, not 512",
        ),
        (
            {"runtime": {"type": "docker", "image": "x", "cpu": 2048, "memory": 5000}},
            "steps.a.runtime.memory: with cpu 2048 Fargate has 4096, 5120, … 16384 MB, not 5000",
        ),
        ({"runtime": {"type": "docker", "image": "x", "cpu": 300}}, "steps.a.runtime.cpu: must be 256, 512, 1024"),
        ({"runtime": {"type": "lambda", "arn": "crm"}}, "steps.a.runtime.arn: must be the ARN of a Lambda function"),
        (
            {
                "runtime": {"type": "lambda", "arn": "arn:aws:lambda:eu-west-1:123456789012:function:crm"},
                "path": "./folder",
            },
            "steps.a.path: the runtime names a deployed Lambda by its arn: give one of the two",
        ),
        ({"runtime": {"type": "lambda"}, "path": "./folder", "timeout": "1h"}, "steps.a.timeout: a Lambda runs for at"),
        ({"id": "b"}, "steps.a.id: must be as its key, 'a', or left out; not 'b'"),
        ({"retries": 3}, "steps.a.retries: must be an object, not 3"),
        ({"timeout": "400d"}, "steps.a.timeout: must be at most 366d, not '400d'"),
        ({"join": "some"}, "steps.a.join: must be 'all' or 'any', not 'some'"),
        ({"after": [{}]}, "steps.a.after[0].step: is missing"),
        ({"after": "b"}, "steps.a.after: must be a list, not 'b'"),
        ({"after": [{"step": "A"}]}, "steps.a.after[0].step: there is no step 'A'; there are 'a'"),
        ({"after": [{"step": "a"}]}, "steps.a.after[0].step: the steps wait for each other in a circle: a -> a"),
    ],
)
def test_steps(tmp_path: Path, keys: dict[str, Any], problem: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    [found] = of_step(tmp_path, **keys)
    assert found.startswith(problem)


def test_a_wrong_step_is_still_one_that_others_may_name(tmp_path: Path) -> None:
    steps = {"a": 5, "b": {"runtime": HTTP, "after": [{"step": "a", "if": "steps.a.x == 1"}]}}
    assert problems(tmp_path, {"id": "x", "steps": steps}) == ["steps.a: must be an object, not 5"]


def test_each_circle_is_named_once(tmp_path: Path) -> None:
    after = {"a": ["c"], "b": ["a"], "c": ["b"], "d": ["a", "e"], "e": ["d"]}
    steps = {id: {"runtime": HTTP, "after": [{"step": one} for one in sources]} for id, sources in after.items()}
    found = problems(tmp_path, {"id": "x", "steps": steps})
    assert sorted(found) == [
        "steps.a.after[0].step: the steps wait for each other in a circle: a -> b -> c -> a",
        "steps.d.after[1].step: the steps wait for each other in a circle: d -> e -> d",
    ]


def test_of_very_many_circles_the_first_are_named(tmp_path: Path) -> None:
    ids = [f"s{index}" for index in range(100)]
    after = [{"step": id, "if": "steps.s99.x"} for id in ids]
    found = problems(tmp_path, {"id": "x", "steps": {id: {"runtime": HTTP, "after": after} for id in ids}})
    assert len(found) == 10
    assert all("in a circle: " in problem for problem in found)


def test_a_path_as_long_as_a_book(tmp_path: Path) -> None:
    [found] = of_step(tmp_path, runtime=DOCKER, path="./" + "x" * 5000)
    assert found.startswith("steps.a.path: there is no such folder: ")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"if": "steps.a.ok =="}, "if: the expression 'steps.a.ok ==' is not CEL: column 14"),
        ({"if": "step.a.ok"}, "if: in the expression 'step.a.ok', column 1: 'step' is not known here: begin with"),
        ({"if": "steps.x.ok"}, "if: there is no step 'x'"),
        ({"if": "steps.b-1.ok"}, "if: there is no step 'b'; a hyphen is written steps['b-1']"),
        ({"if": "steps['c'].ok"}, "if: the output of 'c' has no value here: an edge from 'a' knows the"),
        ({"if": "steps['b-1'].ok"}, "if: the output of 'b-1' has no value here"),
        ({"step": "$trigger", "if": "steps.a.ok"}, "if: the output of 'a' has no value here: an edge from the trigger"),
        (
            {"if": "async.data.x"},
            "if: in the expression 'async.data.x', column 1: 'async' is not known here: the",
        ),
        ({"if": ""}, "if: must not be empty"),
        ({"wait": "5x"}, "wait: '5x' is no duration such as '5m', and no CEL that gives one: the expression '5x'"),
        ({"wait": "steps.c.x"}, "wait: the output of 'c' has no value here"),
        ({"wait": 0}, "wait: must be a duration, such as 30 (seconds) or '5m', or CEL that gives one, not 0"),
        ({"wait": "0s"}, "wait: must be longer than 0"),
        ({"wait": "400d"}, "wait: must be at most 366d, not '400d'"),
        ({"async": {}}, "async.event: is missing"),
        ({"async": {"event": "a*"}}, "async.event: an awaited event has one exact name"),
        ({"async": {"event": "tidemill/x"}}, "async.event: the platform sends no 'tidemill/x'"),
        ({"async": {"event": "e", "ttl": "x"}}, "async.ttl: a duration is seconds, or text"),
        (
            {"async": {"event": "e", "onTimeout": True}},
            "async.ttl: is missing: with onTimeout it must be said",
        ),
        ({"async": {"event": "e", "match": "steps.a.id == async.data.id"}}, "async.match: in the expression"),
        ({"async": {"event": "e", "mach": "data.x"}}, "async.mach: is not known here; did you mean 'match'?"),
    ],
)
def test_edges(tmp_path: Path, keys: dict[str, Any], problem: str) -> None:
    [found] = of_edge(tmp_path, **keys)
    assert found.startswith(f"steps.b-1.after[0].{problem}")
