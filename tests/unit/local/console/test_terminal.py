"""Nothing that an event, an error or a program says reaches a terminal as more than text."""

from __future__ import annotations

import asyncio
import io
import json
import sys

import pytest

from tidemill.core.journal import Ended, StepTried
from tidemill.model import Event, Failure, Head
from tidemill_local.cli import text
from tidemill_local.console.lines import Console
from tidemill_local.console.terminal import clean, clean_lines

NASTY = "a\x1b[2Jb\x1b]0;title\x07c\rd\x7fe\x9b31mf\u202eg\u2028h\x00i\x08"


def test_whatever_a_terminal_acts_on_is_written_as_an_escape() -> None:
    assert clean(NASTY).isprintable()
    assert clean("Zoë 😀 \\n") == "Zoë 😀 \\n"
    assert clean_lines("one\n\ttwo\x1b[A") == "one\n\ttwo\\x1b[A"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_values_stay_json_and_the_same(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    shown = text.compact({"text": NASTY, "😀": "\U000e0001"})
    assert shown.isprintable()
    assert json.loads(shown) == {"text": NASTY, "😀": "\U000e0001"}


def test_the_dev_servers_screen_shows_text() -> None:
    out = io.StringIO()
    loop = asyncio.new_event_loop()
    console = Console(loop, out)
    console.say(f"reloaded {NASTY}")
    console.trouble(f"one {NASTY}\ntwo")
    failure = Failure("Bad", NASTY)
    head = Head("r1", "shop.ship", "failed", 0, None, started_at=0)
    console.appended(head, Ended(5, "failed", failure=failure), 0)
    console.appended(head, StepTried(f"step{NASTY}", "run", 0, 1, 1, failure, 2), 0)
    console.event(Event(NASTY, NASTY, {}, 0, 0))
    loop.close()
    assert all(line.isprintable() for line in out.getvalue().split("\n"))
    assert "shop.ship" in out.getvalue()
