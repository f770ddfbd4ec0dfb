"""`tidemill init` writes an app that works; `tidemill manifest` says what apps declare."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_server import MemoryServer

from tidemill_local.cli import main

DOCS = Path(__file__).parents[4] / "docs"
SRC = str(Path(__file__).parents[4] / "src")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder; what is imported from it is forgotten when the test is over."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_init_writes_an_app_and_says_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "my shop"]) == 0
    written = [file.relative_to(folder / "my shop") for file in (folder / "my shop").rglob("*") if file.is_file()]
    assert sorted(map(str, written)) == [
        *(
            ".gitignore",
            "app.py",
            "order.json",
            "parcel.function.json",
            "steps/label/Dockerfile",
            "steps/label/label.sh",
        ),
        *("steps/pack/Dockerfile", "steps/pack/pack.py", "test_app.py"),
    ]
    said = capsys.readouterr().out
    assert "  cd 'my shop' && tidemill dev\n" in said
    assert "  cd 'my shop' && tidemill send order/placed @order.json --wait\n" in said
    assert "  cd 'my shop' && pytest\n" in said
    page = (DOCS / "start" / "first-function.md").read_text("utf-8")
    begin = page[page.index("`init` writes") :].partition("`dev` runs")[0]
    assert {f"`{file.parts[0]}`" for file in written} == set(re.findall(r"`[\w.]+`", begin)) - {"`init`"}


def test_init_says_how_to_get_pytest_where_it_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tidemill_local.cli.init.find_spec", lambda name: None)
    assert main(["init"]) == 0
    assert "\n  pip install pytest && pytest\n" in capsys.readouterr().out


def test_init_leaves_the_gitignore_of_a_repository(folder: Path) -> None:
    (folder / ".gitignore").write_text("mine")
    assert main(["init"]) == 0
    assert (folder / ".gitignore").read_text() == "mine"
    assert (folder / "app.py").exists()


def test_git_ignores_what_dev_and_the_functions_write(folder: Path) -> None:
    assert main(["init"]) == 0
    subprocess.run(["git", "init", "-q", "."], check=True)
    for kept in (".tidemill/state.db", "receipts/o1.txt", "__pycache__/app.pyc"):
        (folder / kept).parent.mkdir(exist_ok=True)
        (folder / kept).write_text("")
    listed = ["git", "status", "--porcelain", "--untracked-files=all"]
    shown = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    assert sorted(line[3:].partition("/")[0] for line in shown.splitlines() if "steps/" not in line) == [
        *(".gitignore", "app.py", "order.json", "parcel.function.json", "test_app.py"),
    ]


def test_init_here_needs_no_cd(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert "\n  tidemill dev\n" in capsys.readouterr().out


def test_init_overwrites_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "order.json").write_text("mine")
    assert main(["init", "."]) == 1
    assert "order.json: there already, and nothing is overwritten" in capsys.readouterr().err
    assert [(file.name, file.read_text()) for file in folder.iterdir()] == [("order.json", "mine")]


def test_init_into_a_file_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shop").write_text("a file")
    assert main(["init", "shop"]) == 1
    assert capsys.readouterr().err.startswith("tidemill: shop cannot be written: ")


def test_the_test_that_init_writes_passes(folder: Path) -> None:
    assert main(["init"]) == 0
    environment = {**os.environ, "PYTHONPATH": SRC}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_the_app_that_init_writes_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tidemill_local.load.targets import load

    assert main(["init"]) == 0
    server = MemoryServer(*load((), folder).apps)
    monkeypatch.setattr("tidemill_local.cli.follow.sleep", server.advance)
    try:
        assert main(["send", "order/placed", "@order.json", "--wait", "--url", server.url]) == 0
        assert main(["send", "order/placed", '{"order_id": "o2", "total": 0}', "--wait", "--url", server.url]) == 1
    finally:
        server.close()
    said = capsys.readouterr().out
    assert "cool down  sleeping" in said
    assert "order o2 has nothing to pay" in said
    assert (folder / "receipts" / "o1.txt").read_text() == "Order o1: 40 paid with payment-o1\n"


def test_the_definition_that_init_writes_is_right(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert main(["functions", "validate", "."]) == 0
    assert "parcel.function.json: parcel is right: 2 steps (docker), started by order/paid\n" in capsys.readouterr().out


@pytest.mark.slow
def test_the_app_that_init_writes_passes_a_strict_type_check(folder: Path) -> None:
    assert main(["init"]) == 0
    environment = {**os.environ, "MYPYPATH": SRC}
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, "--follow-imports=silent", "app.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout


def test_the_manifest_is_json_whatever_the_code_prints(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "loud.py").write_text(
        "from tidemill import App, Cron\nprint('loading')\napp = App('loud')\n"
        "@app.function(on=['a/b', Cron('0 9 * * *')])\ndef work(ctx):\n    return None\n"
    )
    assert main(["manifest", "loud.py"]) == 0
    out, err = capsys.readouterr()
    [function] = json.loads(out)
    assert function["id"] == "loud.work"
    assert [trigger["type"] for trigger in function["triggers"]] == ["event", "cron"]
    assert err == "loading\n"


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import nowhere_to_be_found\n", "bad.py, line 1"),
        ("from tidemill import App\napp = App(\n", "bad.py, line 2"),
        ("from tidemill import App\n\nraise SystemExit(3)\n", "sys.exit"),
        ("x = 1\n", "bad.py defines no App"),
        ("from tidemill import App\napp = App('a')\n@app.function(on='', retries=99)\ndef f(ctx): ...\n", "retries"),
    ],
)
def test_code_that_cannot_be_imported_is_named_by_file_and_line(
    folder: Path, capsys: pytest.CaptureFixture[str], code: str, says: str
) -> None:
    (folder / "bad.py").write_text(code)
    assert main(["manifest", "bad.py"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err


def test_a_target_that_is_not_there_is_one_sentence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "nothing.py"]) == 2
    assert capsys.readouterr().err.startswith("tidemill: there is no file nothing.py")


def test_the_definition_that_init_writes_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its steps as processes, as on every machine without Docker."""
    from tidemill_local.load.targets import load

    monkeypatch.setenv("DOCKER_HOST", f"unix://{folder}/nobody.sock")
    assert main(["init"]) == 0
    server = MemoryServer(*load(("parcel.function.json",), folder, programs=True).apps)
    monkeypatch.setattr("tidemill_local.cli.follow.sleep", server.advance)
    try:
        assert main(["send", "order/paid", "@order.json", "--wait", "--url", server.url]) == 0
    finally:
        server.close()
    assert '{"label": {"body": "label of parcel-o1\\n"}}' in capsys.readouterr().out
