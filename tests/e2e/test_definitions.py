"""Functions without an SDK on a real `tidemill dev`: they run, are reloaded, and what is wrong is explained."""

from __future__ import annotations

import json
from typing import Any

from e2e.devserver import DevServer, eventually, free_port

DOCKERFILE = 'FROM alpine:3\nCOPY say.sh .\nENTRYPOINT ["sh", "say.sh"]\n'
STEP = {"path": "./steps/say", "runtime": {"type": "docker"}, "retries": {"attempts": 1}}
DEFINITION: dict[str, Any] = {
    "id": "say",
    "triggers": [{"event": "word/said", "expression": "data.word != ''"}],
    "steps": {"say": STEP, "again": {**STEP, "after": [{"step": "say", "if": "steps.say.body == 'hello\\n'"}]}},
}


def write(dev: DevServer, name: str, text: str) -> None:
    (dev.folder / name).parent.mkdir(parents=True, exist_ok=True)
    dev.write(name, text)


def outputs(dev: DevServer) -> list[Any]:
    """Of the runs, the oldest first; None for one that has not ended."""
    return [run["output"] for run in dev.ask("GET", "/v1/runs?function=say")[1]["data"]][::-1]


def test_a_definition_runs_and_follows_the_files_of_its_steps(dev: DevServer) -> None:
    write(dev, "steps/say/Dockerfile", DOCKERFILE)
    write(dev, "steps/say/say.sh", "echo hello\n")
    write(dev, "say.function.json", json.dumps(DEFINITION))
    dev.start(".")
    assert "say  word/said" in dev.output()
    dev.send("word/said", {"word": "hello"})
    eventually(lambda: outputs(dev) == [{"again": {"body": "hello\n"}}])
    write(dev, "steps/say/say.sh", "echo bye\n")
    eventually(lambda: "reloaded: 1 functions" in dev.output())
    dev.send("word/said", {"word": "hello"})
    eventually(lambda: outputs(dev) == [{"again": {"body": "hello\n"}}, {}])


def test_a_bad_definition_is_explained_and_mended(dev: DevServer) -> None:
    dev.write("say.function.json", json.dumps(DEFINITION))
    dev.port = free_port()
    dev.launch(".")
    eventually(lambda: "say.function.json: steps.say.path: there is no such folder: './steps/say'" in dev.output())
    assert "say.function.json: steps.again.path: there is no such folder" in dev.output()
    assert "Traceback" not in dev.output()
    write(dev, "steps/say/Dockerfile", DOCKERFILE)  # what is missing comes, deeper than anybody looked before
    eventually(dev.healthy)
    dev.write("say.function.json", "{")
    eventually(lambda: "line 1, column 2: is not JSON" in dev.output())
    said = dev.output().count("is not JSON")
    write(dev, "steps/say/say.sh", "echo hello\n")
    dev.send("word/said", {"word": "hello"})  # the definition loaded before goes on
    eventually(lambda: outputs(dev) == [{"again": {"body": "hello\n"}}])
    assert dev.output().count("is not JSON") <= said + 2
