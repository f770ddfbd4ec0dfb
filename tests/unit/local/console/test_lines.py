"""The log lines of `tidemill dev`: what a person has to see to is red, on a terminal alone."""

from __future__ import annotations

import asyncio
import io

import pytest
from support.doubles import NOW

from tidemill.model import Event, Rejected
from tidemill_local.console.lines import Console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.usefixtures("colors")
@pytest.mark.parametrize(("out", "before", "after"), [(Terminal(), "\x1b[31m", "\x1b[0m"), (io.StringIO(), "", "")])
def test_a_rejected_event_is_a_red_line_on_a_terminal(out: io.StringIO, before: str, after: str) -> None:
    loop = asyncio.new_event_loop()
    try:
        why = Rejected("data.n: must be text\x1b[0m", [], {})
        Console(loop, out).event(Event("e1", "order/placed", {}, NOW, NOW, rejected=why))
    finally:
        loop.close()
    assert out.getvalue() == f"{before}! rejected order/placed (e1): data.n: must be text\\x1b[0m{after}\n"


def test_a_rejected_event_is_not_red_where_the_user_wants_no_colors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    loop = asyncio.new_event_loop()
    try:
        Console(loop, out).event(Event("e1", "order/placed", {}, NOW, NOW, rejected=Rejected("must be text", [], {})))
    finally:
        loop.close()
    assert out.getvalue() == "! rejected order/placed (e1): must be text\n"
