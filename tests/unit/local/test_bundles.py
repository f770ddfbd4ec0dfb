"""A run taken home, replayed against its own code, other code, and up to one step; and what is no such file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli_server import MemoryServer

from tidemill.core.bundle import digest
from tidemill_local.cli import main
from tidemill_local.load import targets

CODE = """
from tidemill import App, Context

app = App("shop")


def charge(card: str) -> dict:
    with open("charged", "a") as file:
        file.write(card)
    return {"card": card, "amount": 5}


@app.function()
def child(ctx: Context) -> str:
    return ctx.step.run("greet", lambda: f"hello {ctx.event.data['who']}")


@app.function(on="order", retries=0)
def work(ctx: Context):
    paid = ctx.step.run("charge", charge, ctx.event.data["card"])
    branches = ctx.step.parallel(
        lambda: ctx.step.run("left", lambda: "l"),
        lambda: ctx.step.sleep("right", "1h"),
    )
    event = ctx.step.wait_for_event("paid", "paid", timeout="2h")
    words = ctx.step.map("upper", str.upper, ["a", "b", "c"])
    said = ctx.step.invoke("child", child, {"who": "ann"})
    large = ctx.step.run("large", lambda: "x" * 40_000)
    return [paid, branches, event and event.data, words, said, len(large)]


@app.function(on="sour", retries=0)
def sour(ctx: Context):
    def explode():
        raise ValueError("no such card")
    ctx.step.run("charge", explode)
"""


class Shop(NamedTuple):
    server: MemoryServer
    folder: Path
    app: Path

    def main(self, *words: str) -> int:
        return main(list(words))

    def export(self, name: str, *more: str) -> Path:
        """The file of a run that this event starts."""
        with open(self.folder / "events.json", "w") as file:
            json.dump({"name": name, "data": {"card": "4242 secret", "n": 1}}, file)
        assert main(["send", "--file", "events.json", "--url", self.server.url]) == 0
        self.server.advance(7_200)
        assert main(["send", "paid", '{"by": "ann"}', "--url", self.server.url]) == 0
        for _ in range(3):
            self.server.advance(3_600)
        run_id = next(run["run_id"] for run in self.runs() if run["function_id"] in ("shop.work", "shop.sour"))
        assert main(["runs", "export", run_id, "--url", self.server.url, "-o", "run.json", *more]) == 0
        (self.folder / "charged").unlink(missing_ok=True)
        return self.folder / "run.json"

    def runs(self) -> list[dict[str, Any]]:
        from tidemill_local.cli.http import Api

        with Api(self.server.url) as api:
            return list(api.pages("/v1/runs", 100))

    def change(self, old: str, new: str) -> str:
        """Other code, as a file of its own."""
        assert old in CODE
        other = self.folder / f"{self.app.stem}_other.py"
        other.write_text(CODE.replace(old, new))
        return str(other)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Shop]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    app = tmp_path / f"shop_{abs(hash(request.node.name))}.py"
    app.write_text(CODE)
    server = MemoryServer(*targets.load((str(app),), tmp_path).apps)
    yield Shop(server, tmp_path, app)
    server.close()


@pytest.mark.parametrize("more", [(), ("--redact",)])
@pytest.mark.parametrize("event", ["order", "sour"])
def test_the_same_code_does_the_same(shop, capsys, event, more):
    file = shop.export(event, *more)
    capsys.readouterr()
    assert shop.main("dev", "--replay", str(file), str(shop.app)) == 0
    said = capsys.readouterr()
    assert "the code does what the journal has" in said.out
    assert said.err == ""
    assert not (shop.folder / "charged").exists()


def test_a_file_holds_all_of_a_run_and_no_environment(shop, monkeypatch):
    monkeypatch.setenv("SHOP_PASSWORD", "hunter2")
    bundle = json.loads(shop.export("order").read_text())
    assert list(bundle) == ["format", "digest", "redacted", "run", "events", "records", "blobs", "children"]
    assert (bundle["format"], bundle["redacted"], len(bundle["blobs"])) == (1, False, 1)
    assert {(child["step"], child["kind"]) for child in bundle["children"]} == {("upper", "map"), ("child", "invoke")}
    assert "hunter2" not in json.dumps(bundle)
    assert "4242 secret" in json.dumps(bundle)


def test_redaction_leaves_no_text_of_the_users(shop):
    text = shop.export("order", "--redact").read_text()
    for secret in ("4242", "secret", "ann", "hello", "xxx"):
        assert secret not in text
    bundle = json.loads(text)
    card = bundle["events"][0]["data"]["card"]
    (charged,) = [record for record in bundle["records"] if record.get("key") == "charge"]
    assert charged["value"] == {"card": card, "amount": 5}


def test_the_first_difference_is_a_diff(shop, capsys):
    file = shop.export("order")
    other = shop.change('"paid", "paid"', '"payment", "paid"')
    capsys.readouterr()
    assert shop.main("dev", "--replay", str(file), other) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("--- the journal of ")
    assert lines[1].startswith("+++ the code of shop.work, ")
    assert "  step 'p0/0/left'" in lines
    assert "- step 'paid' (wait)" in lines
    assert "+ the code goes on with step 'payment'" in lines


def test_a_child_and_a_part_of_a_map_are_replayed_too(shop, capsys):
    file = shop.export("order")
    capsys.readouterr()
    assert shop.main("dev", "--replay", str(file), shop.change('"greet"', '"salute"')) == 1
    assert "the code of shop.child" in capsys.readouterr().out


def test_a_function_that_is_gone(shop, capsys):
    file = shop.export("order")
    other = shop.change("def work(", "def works(")
    assert shop.main("dev", "--replay", str(file), other) == 1
    assert "the code has no function 'shop.work'" in capsys.readouterr().err


def test_until_a_step_runs_its_body_alone(shop, capsys):
    file = shop.export("order")
    capsys.readouterr()
    before = file.read_bytes()
    assert shop.main("dev", "--replay", str(file), "--until", "charge", str(shop.app)) == 0
    assert capsys.readouterr().out == "step 'charge' gives {'card': '4242 secret', 'amount': 5}\n"
    assert (shop.folder / "charged").read_text() == "4242 secret"
    assert file.read_bytes() == before
    assert shop.main("dev", "--replay", str(file), "--until", "left", str(shop.app)) == 0
    assert shop.main("dev", "--replay", str(file), "--until", "nowhere", str(shop.app)) == 1
    assert "step 'nowhere' has not run: the code does not come to it" in capsys.readouterr().err
    assert shop.main("dev", "--until", "charge", str(shop.app)) == 2


def test_until_a_step_that_fails(shop, capsys):
    file = shop.export("sour")
    assert shop.main("dev", "--replay", str(file), "--until", "charge", str(shop.app)) == 1
    assert "step 'charge' raises ValueError: no such card" in capsys.readouterr().err


def test_a_debugger_stops_in_the_step(shop):
    file = shop.export("order")
    other = shop.change('with open("charged", "a")', 'breakpoint()\n    with open("charged", "a")')
    command = [sys.executable, "-m", "tidemill_local.cli", "dev", "--replay", str(file), "--until", "charge", other]
    done = subprocess.run(command, input="p card\nc\n", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "'4242 secret'" in done.stdout
    assert "(Pdb)" in done.stdout


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _edited(text: str) -> str:
    return text.replace("4242 secret", "4242 public")


def _newer(text: str) -> str:
    return text.replace('"format": 1', '"format": 2')


def _of_unknown_records(text: str) -> str:
    bundle = json.loads(text)
    bundle["records"][2]["type"] = "Teleported"
    return json.dumps({**bundle, "digest": digest(bundle)})


def _without_a_blob(text: str) -> str:
    bundle = json.loads(text)
    bundle["blobs"] = {}
    return json.dumps({**bundle, "digest": digest(bundle)})


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (_cut, "is no exported run, or was cut off"),
        (_edited, "its digest is of another content"),
        (_newer, "has format 2, newer than this version of Tidemill knows (1)"),
        (_of_unknown_records, "record 2 has no type that this version of Tidemill knows"),
        (_without_a_blob, "names a blob that the bundle does not have"),
        (lambda _: "{}", "it names no format"),
        (lambda _: "[]", "it names no format"),
        (lambda _: "", "is no exported run, or was cut off"),
        (lambda _: '{"format": 1}', "its digest is of another content"),
    ],
)
def test_what_is_no_such_file(shop, capsys, change: Callable[[str], str], sentence):
    file = shop.export("order")
    file.write_text(change(file.read_text()))
    assert shop.main("dev", "--replay", str(file), str(shop.app)) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1


def test_a_file_that_is_not_there_or_cannot_be_written(shop, capsys):
    assert shop.main("dev", "--replay", "nowhere.json", str(shop.app)) == 2
    assert "nowhere.json cannot be read" in capsys.readouterr().err
    shop.export("order")
    run_id = shop.runs()[-1]["run_id"]
    assert shop.main("runs", "export", run_id, "--url", shop.server.url, "-o", os.path.join("no", "x")) == 2
    assert "cannot be written" in capsys.readouterr().err
    assert shop.main("runs", "export", run_id, "--url", shop.server.url, "--app", "a:b") == 2
