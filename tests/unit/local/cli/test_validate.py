"""`tidemill functions validate`, `tidemill manifest`: what is said of definition files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill_local.cli import main

RIGHT = """
{"id": "a", "triggers": [{"event": "x"}, {"cron": "0 9 * * *"}],
 "steps": {"s": {"runtime": {"type": "http", "url": "https://x"}}}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_right_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.function.json").write_text(RIGHT)
    assert main(["functions", "validate", "a.function.json"]) == 0
    assert capsys.readouterr().out == "a.function.json: a is right: 1 step (http), started by x, cron 0 9 * * *\n"


def test_every_problem_is_a_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.function.json").write_text('{"id": "a", "steps": {"s": {"after": [{"step": "t"}]}}}')
    (folder / "b.function.json").write_text(RIGHT)
    assert main(["functions", "validate", "."]) == 1
    first, second, third = capsys.readouterr().out.splitlines()
    assert first == "a.function.json: steps.s.runtime: is missing"
    assert second == "a.function.json: steps.s.after[0].step: there is no step 't'; there are 's'"
    assert third.startswith("b.function.json: a is right")


def test_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.function.json").write_text(RIGHT)
    (folder / "b.function.json").write_text(RIGHT)
    assert main(["functions", "validate", "--json", "a.function.json", "b.function.json"]) == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"file": "a.function.json", "id": "a", "valid": True, "problems": []}
    message = "'a' is the id of a.function.json too; give one of the two another"
    assert second["problems"] == [{"path": "id", "message": message}]


def test_the_schema_can_be_had(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["functions", "validate", "--schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$id"] == "urn:tidemill:function.schema.json"


def test_nothing_to_validate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["functions", "validate"]) == 2
    assert main(["functions", "validate", "."]) == 2
    assert main(["functions", "validate", "gone.function.json"]) == 2
    out, err = capsys.readouterr()
    assert "name the FILEs" in err
    assert ". holds no *.function.json" in err
    assert "gone.function.json cannot be read: No such file or directory" in err
    assert not out


def test_the_manifest_has_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "a.function.json").write_text(RIGHT)
    assert main(["manifest", "."]) == 0
    [function] = json.loads(capsys.readouterr().out)
    assert (function["id"], function["app"], function["retries"]) == ("a", "definitions", 0)
    (folder / "a.function.json").write_text("[]")
    assert main(["manifest", "."]) == 1
    assert capsys.readouterr().err == "tidemill: a.function.json: the file: must be an object, not a list\n"
