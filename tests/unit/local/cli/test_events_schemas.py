"""`tidemill events diff` and `events validate`: what a change breaks and whom, what is wrong with events."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cli_server import MemoryServer

from tidemill import App, Context, Wait
from tidemill_local.cli import main

APP = """
from tidemill import App, CancelOn, Concurrency, Event

app = App("shop")

@app.function(
    on=Event("order/placed", when="event.data.total > 10"),
    concurrency=Concurrency(1, key="event.data.customer.id"),
    cancel_on=CancelOn("order/left", match="data.customer.id"),
)
def ship(ctx): ...
"""
OLD = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "total": {"type": "number"},
        "customer": {"type": "object", "properties": {"id": {"type": ["string", "integer"]}}},
    },
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("app", "shop"):
        sys.modules.pop(name, None)
    return tmp_path


def write(place: Path, **schemas: Any) -> Path:
    for name, schema in schemas.items():
        file = place / f"{name.replace('__', '/')}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(schema))
    return place


def changed(**properties: Any) -> dict[str, Any]:
    return {**OLD, "properties": {**OLD["properties"], **properties}}


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_compatible_change_is_no_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "old", order__placed__1=OLD)
    write(folder / "new", order__placed__1=changed(note={"type": "string"}))
    assert main(["events", "diff", "old", "new", "--json"]) == 0
    (row,) = rows(capsys)
    assert (row["event"], row["version"], row["rule"], row["path"]) == (
        "order/placed", "1", "property-added", "#/properties/note",
    )  # fmt: skip
    assert (row["breaking"], row["waived"], row["affects"]) == (False, False, [])


def test_a_breaking_change_names_whom_it_reaches(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app.py").write_text(APP)
    write(folder / "old", order__placed__1=OLD)
    narrower = {"type": "object", "properties": {"id": {"type": "string"}}}
    write(folder / "new", order__placed__1=changed(customer=narrower))
    assert main(["events", "diff", "old", "new", "--json"]) == 1
    (row,) = rows(capsys)
    assert (row["rule"], row["breaking"]) == ("type-narrowed", True)
    assert row["affects"] == [
        "shop.ship",
        "shop.ship: cancel_on match data.customer.id",
        "shop.ship: concurrency key event.data.customer.id",
    ]
    write(folder / "other", order__placed__1=changed(total={"type": "integer"}))
    assert main(["events", "diff", "old", "other"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("BREAKING")
    assert "shop.ship: when event.data.total" in said


DEPLOYED = App("shop")


@DEPLOYED.function(on="order/placed")
def ship(ctx: Context) -> None:
    ctx.step.wait_for_event("payment", "order/paid", timeout="1d")
    ctx.step.wait_for_any(
        "parcel",
        {
            "any": Wait("order/parcel", when="async.data.total > 9.0"),
            "mine": Wait("order/parcel", match="data.customer"),
        },
        timeout="1d",
    )


def test_a_deployment_names_its_functions_and_the_waits_of_its_open_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrower = changed(total={"type": "integer"})
    names = ("order__placed__1", "order__paid__1", "order__parcel__1")
    write(folder / "old", **dict.fromkeys(names, OLD))
    write(folder / "new", **dict.fromkeys(names, narrower))
    with closing(MemoryServer(DEPLOYED)) as server:
        for name in ("order/placed", "order/paid"):  # so that the first of both waits has ended
            assert main(["send", name, '{"customer": "c"}', "--url", server.url]) == 0
        capsys.readouterr()
        assert main(["runs", "list", "--url", server.url, "--json"]) == 0
        (run_id,) = [row["run_id"] for row in rows(capsys)]
        assert main(["events", "diff", "old", "new", "--url", server.url, "--json"]) == 1
    reached = {row["event"]: row["affects"] for row in rows(capsys)}
    assert reached == {
        "order/placed": ["shop.ship"],
        "order/paid": [],
        "order/parcel": [f"run {run_id} waits (parcel): when event.data.total"],  # not the match, which is elsewhere
    }


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import nothing_of_the_kind", "app.py, line 2: import nothing_of_the_kind\nModuleNotFoundError: No module"),
        ("raise SystemExit(3)", "app.py, line 2: raise SystemExit(3)\nthe file ends the process"),
    ],
)
def test_functions_that_cannot_be_loaded_are_said(
    folder: Path, capsys: pytest.CaptureFixture[str], code: str, why: str
) -> None:
    (folder / "app.py").write_text(f"import tidemill; app = tidemill.App('shop')\n{code}\n")
    write(folder / "old", order__placed__1=OLD)
    write(folder / "new", order__placed__1=changed(total={"type": "integer"}))
    assert main(["events", "diff", "old", "new", "--json"]) == 1
    said = capsys.readouterr()
    assert [json.loads(line)["affects"] for line in said.out.splitlines()] == [[]]
    assert "whom a change reaches is not known, for the functions here were not loaded: " in said.err
    assert why in said.err


def test_the_newest_is_compared_with_the_former_newest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "old", a__9=OLD)
    write(folder / "new", a__9=OLD, a__10=changed(total={"type": "integer"}))
    assert main(["events", "diff", "old", "new", "--json"]) == 1
    assert [(row["version"], row["rule"], row["breaking"]) for row in rows(capsys)] == [
        ("10", "version-added", False),
        ("10", "type-narrowed", True),
    ]


def test_what_is_gone_is_breaking(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "old", a__1=OLD, b__1=OLD, b__2=OLD)
    write(folder / "new", b__2=OLD)
    assert main(["events", "diff", "old", "new", "--json"]) == 1
    assert [(row["event"], row["rule"]) for row in rows(capsys)] == [("a", "event-removed"), ("b", "version-removed")]


def test_a_waived_change_is_no_failure_and_a_waiver_gives_its_reason(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder / "old", a__1=OLD)
    write(folder / "new", a__1=changed(total={"type": "integer"}))
    waiver = '[[waive]]\nevent = "a"\nversion = "1"\nrule = "type-narrowed"\npath = "#/properties/total/type"\n'
    (folder / "waivers.toml").write_text(waiver)
    assert main(["events", "diff", "old", "new", "--waivers", "waivers.toml"]) == 2
    assert "[[waive]] 1 lacks reason" in capsys.readouterr().err
    (folder / "waivers.toml").write_text(f'{waiver}reason = "nobody sends fractions"\n')
    assert main(["events", "diff", "old", "new", "--waivers", "waivers.toml", "--json"]) == 0
    assert [row["waived"] for row in rows(capsys)] == [True]


def test_a_state_of_git(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    write(folder / "events", order__placed__1=OLD)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    write(folder / "events", order__placed__1=changed(total={"type": "integer"}))
    assert main(["events", "diff", "HEAD:events", "events", "--json"]) == 1
    assert [row["event"] for row in rows(capsys)] == ["order/placed"]
    for wrong in ("HEAD:gone", "gone:events", "nothing"):
        assert main(["events", "diff", wrong, "events"]) == 2


def test_a_schema_that_is_none_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "old", a__1={"type": 3})
    assert main(["events", "diff", "old", "old"]) == 2
    assert "a/1.json: #/type" in capsys.readouterr().err


def test_every_problem_of_events_by_its_path(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "events", order__placed__1=OLD)
    sent = [{"name": "order/placed", "data": {"total": 1}}, {"name": "order/placed", "data": {"total": "1", "x": 2}}]
    (folder / "sent.ndjson").write_text("\n".join(map(json.dumps, [*sent, {"data": {}}])))
    assert main(["events", "validate", "sent.ndjson", "--json"]) == 1
    found = [(row["index"], row["loc"]) for row in rows(capsys)]
    assert sorted(found) == [(1, ["data"]), (1, ["data", "total"]), (2, ["name"])]
    assert main(["events", "validate", "sent.ndjson"]) == 1
    assert 'sent.ndjson: event 1: data.total: "1" is not of type' in capsys.readouterr().out


def test_events_from_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "events", order__placed__1=OLD)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'[{"name": "order/placed"}]')))
    assert main(["events", "validate", "-"]) == 0
    assert capsys.readouterr().out == "-: every event fits\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"{,}")))
    assert main(["events", "validate", "-"]) == 2


def test_the_whole_manifest(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "app.py").write_text(APP)
    write(folder / "events", order__placed__1=OLD)
    assert main(["manifest", "--all", "app.py"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in found["functions"]] == ["shop.ship"]
    assert found["events"] == [{"name": "order/placed", "v": "1", "schema": OLD}]
    assert found["webhooks"] == []


@pytest.mark.parametrize(
    ("written", "says"),
    [("{", "is not JSON"), ('{"$ref": "#"}', "the schema refers to itself"), ('{"type": "txt"}', "#/type")],
)
def test_a_bad_schema_beside_an_app_is_one_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], written: str, says: str
) -> None:
    (folder / "app.py").write_text(APP)
    (folder / "events" / "x").mkdir(parents=True)
    (folder / "events" / "x" / "1.json").write_text(written)
    assert main(["manifest", "app.py", "--all"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"tidemill: {folder / 'events'}: x/1.json: ")
    assert says in said
    assert said.count("\n") == 1
