"""The programs of docs/guides/send-events.md, each run as it stands against `tidemill dev`."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from docs.pages import ROOT, Block, blocks
from e2e.devserver import DevServer

PAGE = ROOT / "docs" / "guides" / "send-events.md"
SENDS = {  # by kind of block: the id of the event that it sends, its file, and what runs it
    "sh": ("signup-u1", "send.sh", ("sh",)),
    "python": ("signup-u2", "send.py", (sys.executable,)),
    "js": ("signup-u3", "send.mjs", ("node",)),
    "go": ("signup-u4", "send.go", ("go", "run")),
    "ruby": ("signup-u5", "send.rb", ("ruby",)),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevServer]:
    server = DevServer(tmp_path_factory.mktemp("shop"))
    server.write("app.py", "from tidemill import App\n\napp = App('shop')\n")
    server.start()
    yield server
    server.kill()


def program(kind: str) -> Block:
    """The first block of its kind, or the first after the hidden ones."""
    return next(block for block in blocks(PAGE) if block.kind == kind)


@pytest.mark.parametrize("kind", SENDS)
def test_it_sends_its_event(kind: str, server: DevServer, tmp_path: Path) -> None:
    event_id, name, command = SENDS[kind]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    url = f"http://127.0.0.1:{server.port}"
    (tmp_path / name).write_text(program(kind).text.replace("http://127.0.0.1:8288", url), encoding="utf-8")
    environment = {
        **os.environ,
        "TIDEMILL_URL": url,
        "TIDEMILL_EVENT_KEY": "some-key",
        "GOCACHE": str(tmp_path / "go"),
    }
    done = subprocess.run(
        [*command, name], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert event_id in done.stdout
    status, answer = server.ask("GET", f"/v1/events/{event_id}")
    assert status == 200
    assert answer["data"]["name"] == "user/signed.up"


def test_each_program_tries_again_and_gives_its_event_an_id() -> None:
    for kind, (event_id, _, _) in SENDS.items():
        text = program(kind).text
        assert event_id in text
        assert "429" in text or "--retry-all-errors" in shlex.split(text, comments=True), kind
