"""New code is checked against the runs that there are: what differs is a finding, and nothing is done meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli_server import MemoryServer

from tidemill_local.cli import main
from tidemill_local.load import targets

CODE = """
import os, random, socket, subprocess, time
from tidemill import App, Context

app = App("shop")


@app.function(on="order", retries=0)
def work(ctx: Context):
    done = ctx.step.run("first", lambda: 1)
    # between
    ctx.step.sleep("nap", "1h")
    words = ctx.step.map("upper", str.upper, ["a", "b"])
    last = ctx.step.run("last", lambda: 3)
    return [done, words, last]
"""


class Shop(NamedTuple):
    server: MemoryServer
    folder: Path

    def check(self, code: str, *more: str) -> int:
        file = self.folder / "new.py"
        file.write_text(code)
        return main(["versions", "check", str(file), "--url", self.server.url, *more])

    def between(self, line: str, *more: str) -> int:
        return self.check(CODE.replace("# between", line), *more)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """One ended run, and one asleep."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    app = tmp_path / f"shop_{abs(hash(request.node.name))}.py"
    app.write_text(CODE)
    server = MemoryServer(*targets.load((str(app),), tmp_path).apps)
    for _ in range(2):
        assert main(["send", "order", "{}", "--url", server.url]) == 0
        server.advance(4_000 if _ == 0 else 1)
    yield Shop(server, tmp_path)
    server.close()


def findings(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_same_code(shop, capsys):
    capsys.readouterr()
    assert shop.check(CODE, "--strict") == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("2 runs replayed, 1 of them open, in ")
    assert said.err.endswith(": no findings\n")


def test_new_steps_beyond_the_end_of_an_open_run_are_fine(shop, capsys):
    capsys.readouterr()
    assert shop.check(CODE.replace("return [done", 'ctx.step.run("new", lambda: 4)\n    return [done'), "--json") == 0
    (found,) = findings(capsys)  # the ended run went another way; it will never meet this code
    assert (found["kind"], found["step"]) == ("key", None)
    assert shop.check(CODE.replace("return [done", 'ctx.step.run("new", lambda: 4)\n    return [done'), "--strict") == 1


def test_a_renamed_step(shop, capsys):
    capsys.readouterr()
    assert shop.check(CODE.replace('"first"', '"begin"'), "--json") == 1
    found = findings(capsys)
    assert [sorted(each) for each in found] == [["expected", "found", "function_id", "kind", "run_id", "step"]] * 2
    assert {(each["kind"], each["step"], each["function_id"]) for each in found} == {("key", "first", "shop.work")}
    assert shop.check(CODE.replace('"first"', '"begin"')) == 1
    assert "the journal has step 'first' (run), the code goes on with step 'begin' at " in capsys.readouterr().out


def test_a_function_that_is_gone(shop, capsys):
    capsys.readouterr()
    assert shop.check(CODE.replace("def work", "def works"), "--json") == 1
    assert {each["kind"] for each in findings(capsys)} == {"gone"}


@pytest.mark.parametrize(
    ("line", "kind", "found"),
    [
        ("socket.create_connection(('127.0.0.1', 9))", "raises", "using a socket"),
        ("subprocess.run(['true'])", "raises", "starting or ending a process (subprocess.Popen)"),
        ("os.system('true')", "raises", "starting or ending a process (os.system)"),
        ("open('written', 'w')", "raises", "writing to written"),
        ("os.mkdir('made')", "raises", "changing files (os.mkdir)"),
        ("try: open('written', 'w')\n    except OSError: pass", "raises", "writing to written"),
        ("ctx.step.run(f'extra {random.random()}', lambda: 1)", "nondeterministic", "goes on with step 'extra "),
        ("ctx.step.run(str({'a', 'b', 'c', 'd', 'e'}), lambda: 1)", "nondeterministic", "goes on with step"),
        ("ctx.step.run(f'extra {os.environ.get(\"TIDEMILL_API_KEY\")}', lambda: 1)", "key", "step 'extra None'"),
    ],
)
def test_what_code_does_between_steps(shop, capsys, monkeypatch, line, kind, found):
    monkeypatch.setenv("TIDEMILL_API_KEY", "secret")
    capsys.readouterr()
    assert shop.between(line, "--json") == 1
    for each in findings(capsys):
        assert each["kind"] == kind
        assert found in each["found"]
    assert not (shop.folder / "written").exists()
    assert not (shop.folder / "made").exists()


def test_code_that_reads_and_prints_is_left_alone(shop, capsys):
    capsys.readouterr()
    assert shop.between("print(open(os.devnull).read(), time.time(), random.random())", "--strict") == 0


def test_code_that_cannot_be_loaded_and_a_server_that_is_not_there(shop, capsys):
    assert shop.check("from tidemill import nothing") == 1
    assert "ImportError" in capsys.readouterr().err
    assert shop.check(CODE, "--url", "http://127.0.0.1:1") == 3
    assert shop.check(CODE, "--last", "0") == 2


def test_code_that_ends_the_process(shop, capsys):
    assert shop.between("os._exit(3)") == 1
    assert "the process that replays the runs has died" in capsys.readouterr().err


def test_code_that_comes_to_no_end(shop, capsys, monkeypatch):
    capsys.readouterr()
    assert shop.between("time.sleep(30) if not ctx.event.data else None", "--json", "--last", "1") == 0
    assert {each["kind"] for each in findings(capsys)} == {"unjudged"}


def test_changes_that_no_open_run_needs_any_more(shop, capsys):
    code = CODE.replace("# between", 'ctx.patched("soon")')
    code = code.replace("    last =", '    ctx.patched("later")\n    last =')
    capsys.readouterr()
    assert shop.check(code, "--strict") == 0
    said = capsys.readouterr().err
    assert "ctx.patched('later') is needed by no open run any more" in said
    assert "ctx.patched('soon')" not in said
