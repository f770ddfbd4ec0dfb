"""What is said where a word of the command line is empty, has a NUL or a line end, or names no file, or a folder.

Always one sentence that names the word or the file; never one about a path of the API, or about Python.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_server import MemoryServer

from tidemill import App
from tidemill_local.cli import main

RUN = "01KAN5YJ4CPD9DQ5WX1QZ7M0GV"
WORDS = {  # each with the place of its word, as "?"
    "runs show": ["runs", "show", "?"],
    "runs cancel": ["runs", "cancel", "?"],
    "runs rerun": ["runs", "rerun", "?"],
    "rerun from": ["runs", "rerun", RUN, "--from-step", "?"],
    "runs of function": ["runs", "list", "--function", "?"],
    "runs of status": ["runs", "list", "--status", "?"],
    "runs of user": ["runs", "list", "--user", "?"],
    "runs after": ["runs", "list", "--after", "?"],
    "events show": ["events", "show", "?"],
    "events of name": ["events", "list", "--name", "?"],
    "functions show": ["functions", "show", "?"],
    "invoke": ["invoke", "?"],
    "send": ["send", "?"],
    "send as": ["send", "a", "--id", "?"],
    "send for": ["send", "a", "--user", "?"],
    "send with": ["send", "a", "--event-key", "?"],
    "send data of": ["send", "a", "@?"],
    "invoke with": ["invoke", "shop.f", "@?"],
    "rerun with": ["runs", "rerun", RUN, "--input", "@?"],
    "send file": ["send", "--file", "?"],
    "validate": ["functions", "validate", "?"],
    "manifest": ["manifest", "?"],
    "cost": ["cost", "?", "--events-per-month", "1"],
    "init": ["init", "?"],
    "dev data": ["dev", "--data", "?"],
    "dev env": ["dev", "--env-file", "?"],
    "dev target": ["dev", "?"],
}
READ = ("send data of", "invoke with", "rerun with", "send file", "validate", "manifest", "cost")


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServer]:
    server = MemoryServer(App("shop"))
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    yield server
    server.close()


def _said(capsys: pytest.CaptureFixture[str], words: list[str], word: str) -> str:
    assert main([each.replace("?", word) for each in words]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("tidemill: ")
    assert err.count("\n") == 1, "one sentence"
    for wrong in ("/v1/", "/e/", "should not have happened", "Error", "while it was imported"):
        assert wrong not in err
    return err


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_an_empty_word(server: MemoryServer, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    said = _said(capsys, words, "")
    assert "it is empty" in said or "here is none" in said or "write the name of a file" in said
    assert server.calls == []


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_a_word_with_a_nul(server: MemoryServer, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    said = _said(capsys, words, "a\0b")
    assert r"a\x00b" in said
    assert server.calls == []


@pytest.mark.parametrize("word", ["nope", "no\npe", "folder"])
@pytest.mark.parametrize("words", [WORDS[name] for name in READ], ids=READ)
def test_a_file_that_is_none(
    server: MemoryServer, capsys: pytest.CaptureFixture[str], words: list[str], word: str
) -> None:
    if word == "folder" and words[0] in ("manifest", "cost"):
        assert main([each.replace("?", word) for each in words]) == 1, "a folder without an App is a target, and wrong"
        assert "folder defines an App" in capsys.readouterr().err
        return
    said = _said(capsys, words, word)
    assert word.replace("\n", r"\n") in said
    assert server.calls == []


@pytest.mark.parametrize("target", ["nope.py", "nope.function.json", "nope:app", "json:", ":app", ".:app", "..a:app"])
@pytest.mark.parametrize("verb", ["manifest", "cost"])
def test_a_target_that_is_none(capsys: pytest.CaptureFixture[str], verb: str, target: str) -> None:
    assert target in _said(capsys, WORDS[verb], target)


@pytest.mark.parametrize("verb", ["manifest", "cost"])
def test_a_program_with_a_nul(tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str) -> None:
    (tmp_path / "nul.py").write_bytes(b"from tidemill import App\napp = App('x')\0\n")
    assert main([each.replace("?", "nul.py") for each in WORDS[verb]]) == 1
    assert capsys.readouterr().err.startswith("tidemill: nul.py, line 2: there is a NUL character")
    (tmp_path / "uses.py").write_text("from tidemill import App\nimport nul\napp = App('x')\n")
    assert main([each.replace("?", "uses.py") for each in WORDS[verb]]) == 1
    assert capsys.readouterr().err.startswith("tidemill: uses.py, line 2: import nul\nSyntaxError: ")
