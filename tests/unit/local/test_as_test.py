"""An exported run as a test: it passes over the same code, and fails over code that comes to something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_server import MemoryServer

from tidemill_local.cli import main
from tidemill_local.cli.http import Api
from tidemill_local.load import targets

CODE = """
from tidemill import App, Context, StepError

app = App("shop")


def never(*_):
    raise RuntimeError("a test charges nobody")


CHARGE = never if __name__ == "home" else (lambda card: {"card": card, "amount": 5})


@app.function()
def child(ctx: Context) -> str:
    return "hello"


@app.function(on="order", retries=0)
def work(ctx: Context):
    paid = ctx.step.run("charge", CHARGE, ctx.event.data["card"])
    both = [
        *ctx.step.parallel(lambda: ctx.step.run("side", lambda: "l"), lambda: ctx.step.run("other", lambda: "o")),
        *ctx.step.parallel(lambda: ctx.step.run("side", lambda: "r")),
    ]
    ctx.step.sleep("nap", "1h")
    event = ctx.step.wait_for_event("paid", "paid", timeout="9h")
    words = ctx.step.map("upper", str.upper, ["a", "b", "c"])
    said = ctx.step.invoke("child", child, {"who": "ann"})
    try:
        ctx.step.run("mail", lambda: 1 / 0)
    except StepError as error:
        return [paid, both, event and event.data, words, said, error.type]


@app.function(on="sour", retries=0)
def sour(ctx: Context):
    def explode():
        raise ValueError("no such card")
    ctx.step.run("charge", explode)


@app.function(on="sign", retries=0)
def sign(ctx: Context):
    return ctx.step.wait_for_signal("ok", "approve", timeout="1d")
"""


@pytest.mark.parametrize("event", ["order", "sour", "sign"])
def test_it_passes_over_the_same_code_and_fails_over_other(tmp_path: Path, monkeypatch, event):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    app = tmp_path / f"made_{event}.py"
    app.write_text(CODE)
    server = MemoryServer(*targets.load((str(app),), tmp_path).apps)
    try:
        _live(server, event)
        with Api(server.url) as api:
            run_id = next(run["run_id"] for run in api.pages("/v1/runs", 9) if run["function_id"] != "shop.child")
        words = ["runs", "export", run_id, "--url", server.url, "--as-test", "--app", "home:app"]
        assert main([*words, "-o", "test_home.py"]) == 0
    finally:
        server.close()
    home = tmp_path / "home.py"
    home.write_text(CODE)
    passed = _tested(tmp_path)
    assert passed.returncode == 0, passed.stdout
    ends = {
        "order": ("[paid, both", "[both, 1, paid"),
        "sour": ("no such card", "no card"),
        "sign": ("return ctx", "ctx"),
    }
    before, after = ends[event]
    home.write_text(CODE.replace('"charge", explode', '"pay", explode').replace(before, after))
    failed = _tested(tmp_path)
    assert failed.returncode == 1, failed.stdout
    assert "assert" in failed.stdout


def _live(server: MemoryServer, event: str) -> None:
    assert main(["send", event, '{"card": "4242"}', "--url", server.url]) == 0
    server.advance(7_200)
    assert main(["send", "paid", '{"by": "ann"}', "--url", server.url]) == 0
    if event == "sign":
        with Api(server.url) as api:
            api.post("/v1/signals", {"signal": "approve", "data": {"by": "bo"}})
    for _ in range(3):
        server.advance(60)


def _tested(folder: Path) -> subprocess.CompletedProcess[str]:
    # Without bytecode: code of one length that is written twice in a second would be taken for the same.
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_home.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
