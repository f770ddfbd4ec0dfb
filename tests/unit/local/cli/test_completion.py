"""Shells complete commands, options, and the names that the server knows; nothing they insert can run by itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_server import MemoryServer

from tidemill import App, Context
from tidemill_local.cli import VERBS, main
from tidemill_local.cli.complete import candidates
from tidemill_local.cli.completion import SHELLS, script


def shop() -> App:
    app = App("shop")

    @app.function(on="order/placed")
    def checkout(ctx: Context) -> str:
        return "done"

    @app.function(on="order/paid")
    def ship(ctx: Context) -> None: ...

    return app


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServer]:
    server = MemoryServer(shop())
    monkeypatch.setenv("TIDEMILL_URL", server.url)
    yield server
    server.close()


def words(*given: str) -> list[str]:
    return [word for word, _ in candidates(list(given))]


def test_commands_and_those_below_them() -> None:
    assert words("") == list(VERBS)
    assert words("r") == ["runs"]
    assert words("runs", "") == ["list", "show", "logs", "why", "export", "cancel", "rerun", "replay"]
    assert words("nothing", "") == []


def test_options_that_are_not_given_yet() -> None:
    assert "--status" in words("runs", "list", "--")
    assert words("runs", "list", "--status", "failed", "--st") == []
    assert words("dev", "--no-") == ["--no-reload", "--no-events"]


def test_values_of_options() -> None:
    assert words("runs", "list", "--status", "s") == ["scheduled", "sleeping", "skipped"]
    assert words("cost", "--architecture", "") == ["arm64", "x86_64"]
    assert words("completion", "") == list(SHELLS)


def test_names_that_the_server_knows(server: MemoryServer) -> None:
    main(["send", "order/placed", "{}", "--id", "o1"])
    (run_id,) = words("runs", "show", "")
    assert words("functions", "show", "shop.c") == ["shop.checkout"]
    assert words("runs", "list", "--function", "") == ["shop.checkout", "shop.ship"]
    assert words("invoke", "") == ["shop.checkout", "shop.ship"]
    assert words("invoke", "shop.ship", "") == []
    assert words("send", "order/") == ["order/paid", "order/placed"]
    assert words("send", "order/paid", "--user", "") == []
    assert words("events", "show", "") == ["o1"]
    assert words("runs", "rerun", "--wait", "") == [run_id]
    assert main(["runs", "show", run_id]) == 0


def test_another_server_is_asked_where_the_line_says_so(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMILL_URL", "http://127.0.0.1:1")
    assert words("functions", "show", "--url", server.url, "") == ["shop.checkout", "shop.ship"]
    assert main(["__complete", "functions", "show", ""]) == 0
    assert capsys.readouterr() == ("", "")  # nobody is there: nothing is known, and nothing said


def test_what_a_shell_would_run_is_not_offered(server: MemoryServer, capsys: pytest.CaptureFixture[str]) -> None:
    for id in ("$(reboot)", "a;b", "a b", "`x`", "a\tb", "plain-1"):
        main(["send", "order/paid", "{}", "--id", id])
    capsys.readouterr()
    assert words("events", "show", "") == ["plain-1"]


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which `tidemill` is the checkout's."""
    command = tmp_path / "tidemill"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tidemill_local.cli "$@"\n')
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    return f"{tmp_path}{os.pathsep}{os.environ['PATH']}"


_ASKING = {
    "bash": 'COMP_WORDS=(tidemill {words}); COMP_CWORD={last}; _tidemill; printf "%s\\n" "${{COMPREPLY[@]}}"',
    "zsh": "_describe() {{ print -l - ${{found%%:*}} }}; words=(tidemill {words}); CURRENT=$(({last}+1)); _tidemill",
    "fish": "complete -C 'tidemill {line}' | string replace -r '\\t.*' ''",
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("runs ", ["list", "show", "logs", "why", "export", "cancel", "rerun", "replay"]),
        ("functions show shop.s", ["shop.ship"]),
        ("dev --no-r", ["--no-reload"]),
    ],
)
def test_each_shell_completes(server: MemoryServer, path: str, shell: str, line: str, offered: list[str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    given = line.split(" ")
    asking = _ASKING[shell].format(words=" ".join(f"'{word}'" for word in given), last=len(given), line=line)
    before = "compdef() { :; }\n" if shell == "zsh" else ""
    clean = ["--norc", "--noprofile"] if shell == "bash" else ["-f"] if shell == "zsh" else ["--no-config"]
    environment = {**os.environ, "PATH": path, "TIDEMILL_URL": server.url, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [shell, *clean, "-c", before + script(shell) + asking],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert (sorted(done.stdout.split()), done.stderr) == (sorted(offered), "")
