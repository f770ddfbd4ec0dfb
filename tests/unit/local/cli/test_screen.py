"""What people see on a terminal: runs that grow in place, tables that fit, colours where they are wanted."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tidemill_local.cli import events, functions, main, story, text
from tidemill_local.cli.runs import table
from tidemill_local.cli.screen import Appended, Redrawn, screen
from tidemill_local.cli.screen import _steps as steps_of
from tidemill_local.cli.table import table as plain_table

NOW = 1_790_000_000_000
NOW_ISO = "2026-09-21T14:13:20.000Z"


class Terminal(io.StringIO):
    """Enough of a terminal to see what stands on it: it knows how to go up, to clear, and to wrap or to cut."""

    encoding = "utf-8"  # type: ignore[assignment]  # a StringIO has none of its own

    def __init__(self, columns: int = 80) -> None:
        super().__init__()
        self.columns = columns

    def isatty(self) -> bool:
        return True

    @property
    def raw(self) -> str:
        return self.getvalue()

    @property
    def lines(self) -> list[str]:
        rows, row, wraps = [""], 0, True
        for token in re.findall(r"\x1b\[[?\d]*[A-Za-z]|.|\n", self.getvalue()):
            if token == "\n":
                row += 1
                rows += [""] * (row + 1 - len(rows))
            elif token.endswith("A") and token[0] == "\x1b":
                row -= int(token[2:-1])
            elif token == "\x1b[J":
                del rows[row + 1 :]
                rows[row] = ""
            elif token in ("\x1b[?7l", "\x1b[?7h"):
                wraps = token.endswith("h")
            elif token[0] != "\x1b" and token != "\r":
                if len(rows[row]) == self.columns and wraps:
                    row += 1
                    rows.insert(row, "")
                if len(rows[row]) < self.columns:
                    rows[row] += token
        return [line.rstrip() for line in rows if line]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Puts a terminal in the place of standard output; to be called in the test, since pytest has its own before."""

    def terminal() -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(text, "now_ms", lambda: NOW)
        for name, value in (("COLUMNS", "80"), ("LINES", "10"), ("TERM", "xterm"), ("NO_COLOR", "1")):
            monkeypatch.setenv(name, value)
        return terminal

    return terminal


def step(id: str, status: str, **more: Any) -> dict[str, Any]:
    told = {"kind": "run", "attempts": 1, "output": None, "error": None, "ended_at": None}
    return {"id": id, "name": id, "status": status, "started_at": "2026-09-21T14:13:19.000Z", **told, **more}


def a_run(status: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {
        "run_id": "R1", "function_id": "shop.checkout", "version": "v1", "reason": None, "event_ids": ["e1"],
        "user": None, "attempt": 1, "parent_run_id": None, "created_at": "2026-09-21T14:13:18.000Z",
        "started_at": "2026-09-21T14:13:18.000Z", "ended_at": None, "output": None, "error": None, "journal": [],
    }  # fmt: skip
    return {**told, "status": status, "steps": list(steps), **more}


ASLEEP = {"type": "suspended", "blocked": [{"step": "nap", "until": "2026-09-21T14:13:32.000Z", "name": None}]}
DONE = step("charge", "completed", ended_at="2026-09-21T14:13:19.012Z", output={"paid": 40})


def test_a_run_grows_in_place(terminal: Callable[[], Terminal]) -> None:
    tty = terminal()
    shown = screen()
    assert isinstance(shown, Redrawn)
    shown.show([a_run("running")])
    assert tty.lines == ["shop.checkout  R1", "  running"]
    shown.show([a_run("sleeping", DONE, step("nap", "sleeping", kind="sleep"), journal=[ASLEEP])])
    assert tty.lines == [
        "shop.checkout  R1",
        '    charge  completed  12 ms  {"paid": 40}',
        "    nap     sleeping          until 14:13:32 UTC, in 12 s",
        "  sleeping until 14:13:32 UTC, in 12 s",
    ]
    ended = a_run("completed", DONE, step("nap", "completed"), ended_at="2026-09-21T14:13:32.000Z", output="ok")
    shown.show([ended])
    shown.close([ended])
    assert tty.lines == [
        "shop.checkout  R1",
        '    charge  completed  12 ms  {"paid": 40}',
        "    nap     completed",
        '  completed in 14 s  "ok"',
    ]


def test_nothing_is_drawn_where_nothing_has_changed(terminal: Callable[[], Terminal]) -> None:
    tty = terminal()
    shown = Redrawn()
    shown.show([a_run("running")])
    before = tty.raw
    shown.show([a_run("running")])
    assert tty.raw == before


def test_long_names_are_cut_where_the_terminal_ends(terminal: Callable[[], Terminal]) -> None:
    tty = terminal()
    shown = Redrawn()
    name = "n" * 200
    run = a_run("running", step(name, "retrying", attempts=2))
    shown.show([run])
    assert len(tty.lines) == 3
    shown.show([a_run("running", step(name, "retrying", attempts=3))])
    assert len(tty.lines) == 3
    shown.close([run])
    assert max(map(len, tty.lines)) <= 80
    assert any("…  retrying, attempt 2" in line for line in tty.lines)
    assert tty.raw.endswith("\n")


def test_more_steps_than_the_screen_has_lines(terminal: Callable[[], Terminal]) -> None:
    tty = terminal()
    shown = Redrawn()
    run = a_run("running", *(step(f"s{n}", "completed") for n in range(30)))
    shown.show([run])
    assert len(tty.lines) == 9
    assert tty.lines[-2].split()[0] == "s29"
    shown.close([run])
    assert [line.split()[0] for line in tty.lines[1:-1]] == [f"s{n}" for n in range(30)]


def test_anywhere_else_each_change_is_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "now_ms", lambda: NOW)
    shown = screen()
    assert isinstance(shown, Appended)
    failing = step(
        "charge", "retrying", attempts=2, error={"type": "IOError", "message": "busy\nnow", "step_id": "charge"}
    )
    again = {"type": "suspended", "blocked": [{"step": "charge", "until": "2026-09-21T14:13:21.000Z", "name": None}]}
    for run in (
        a_run("running"),
        a_run("running", failing, journal=[again]),
        a_run("running", failing, journal=[again]),
        a_run("completed", DONE, ended_at="2026-09-21T14:13:19.500Z"),
    ):
        shown.show([run])
    assert capsys.readouterr().out.splitlines() == [
        "shop.checkout  run R1",
        "shop.checkout     charge  retrying, attempt 2  again at 14:13:21 UTC, in 1 s: IOError: busy\\nnow",
        'shop.checkout     charge  completed  12 ms  {"paid": 40}',
        "shop.checkout  completed in 1.5 s",
    ]


def test_colours_only_where_they_are_wanted(terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch) -> None:
    tty = terminal()
    runs = [a_run("failed", ended_at="2026-09-21T14:13:19.500Z")]
    assert "\x1b[" not in table(runs, NOW)
    monkeypatch.delenv("NO_COLOR")
    assert "\x1b[31mfailed\x1b[0m" in table(runs, NOW)
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b[" not in table(runs, NOW)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(tty, "isatty", lambda: False)
    assert "\x1b[" not in table(runs, NOW)


def test_a_table_fits_the_terminal_and_is_whole_elsewhere(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    tty = terminal()
    runs = [a_run("completed", output={"text": "x" * 150})]
    assert max(len(line) for line in table(runs, NOW).splitlines()) <= 80
    monkeypatch.delenv("COLUMNS")
    monkeypatch.setattr(tty, "isatty", lambda: False)
    assert "x" * 150 in table(runs, NOW)


def test_a_file_and_a_wide_terminal_get_the_same_table(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    tty = terminal()
    monkeypatch.setenv("COLUMNS", "500")
    rows = [("漢字", 7, "x" * 90), ("ab", 12_000, ""), ("", "", "\x1b")]
    for head in (True, False):

        def drawn(head: bool = head) -> str:
            return plain_table(("A", "N", "WHAT"), rows, "  ", cut=("WHAT",), right=("N",), head=head)

        on_terminal = drawn()
        with monkeypatch.context() as elsewhere:
            elsewhere.delenv("COLUMNS")
            elsewhere.setattr(tty, "isatty", lambda: False)
            assert drawn() == on_terminal


def test_wide_characters_take_two_columns() -> None:
    lines = plain_table(("A", "B"), [("漢字", "x"), ("ab", "y")]).splitlines()
    assert lines == ["A     B", "漢字  x", "ab    y"]


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (0, "0 ms"), (999, "999 ms"), (1_000, "1 s"), (2_449, "2.4 s"), (59_949, "59.9 s"), (60_000, "1 min"),
        (185_000, "3 min 5 s"), (3_600_000, "1 h"), (7_380_000, "2 h 3 min"), (86_400_000, "1 d"),
        (5 * 86_400_000 + 3 * 3_600_000, "5 d 3 h"),
    ],
)  # fmt: skip
def test_durations(ms: int, said: str) -> None:
    assert text.took(ms) == said


@pytest.mark.parametrize(
    ("iso", "said"),
    [
        ("2026-09-21T14:13:19.900Z", "just now"),
        ("2026-09-21T14:13:08.000Z", "12 s ago"),
        ("2026-09-21T12:13:20.000Z", "2 h ago"),
        ("2026-09-20T14:13:20.000Z", "2026-09-20 14:13:20 UTC"),
        ("2026-09-21T15:00:00.000Z", "2026-09-21 15:00:00 UTC"),
        (None, ""),
    ],
)
def test_times(iso: str | None, said: str) -> None:
    assert text.ago(iso, NOW) == said


def test_when_a_step_is_tried_again_may_be_known_a_moment_after_it_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text, "now_ms", lambda: NOW)
    shown = Appended()
    failing = step("charge", "retrying", error={"type": "IOError", "message": "busy", "step_id": "charge"})
    again = {"type": "suspended", "blocked": [{"step": "charge", "until": "2026-09-21T14:13:21.000Z", "name": None}]}
    other = step("ship", "retrying", error={"type": "IOError", "message": "busy", "step_id": "ship"})
    shown.show([a_run("running", failing, other)])
    shown.show([a_run("running", failing, other, journal=[again])])
    shown.show([a_run("running", failing, other, journal=[again])])
    assert capsys.readouterr().out.splitlines() == [
        "shop.checkout  run R1",
        "shop.checkout     charge  retrying  again at 14:13:21 UTC, in 1 s: IOError: busy",
        "shop.checkout     ship  retrying  IOError: busy",  # nobody says when: it is shown at the second look
    ]


def test_code_between_steps_that_fails_is_shown_while_it_is_tried_again(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = {
        "type": "attempt_failed", "attempt": 2, "retry_at": "2026-09-21T14:13:21.000Z",
        "error": {"type": "KeyError", "message": "'total'", "step_id": None, "stack": ""},
    }  # fmt: skip
    run = a_run("running", attempt=3, journal=[failed])
    said = "attempt 2 failed, again at 14:13:21 UTC, in 1 s: KeyError: 'total'"
    monkeypatch.setattr(text, "now_ms", lambda: NOW)
    shown = Appended()
    shown.show([run])
    shown.show([run])
    assert capsys.readouterr().out.splitlines() == ["shop.checkout  run R1", f"shop.checkout  {said}"]
    assert f"running, {said}" in story.summary(run, NOW)
    tty = terminal()
    Redrawn().show([run])
    assert tty.lines[-1] == f"  running, {said}"


LONG = "order-" + "x" * 60
AGAIN = {
    "type": "suspended",
    "blocked": [
        {"step": LONG, "until": "2026-09-21T14:13:21.000Z", "name": None},
        {"step": "approval", "until": "2026-09-23T14:13:20.000Z", "name": "order/approved.by.the.manager"},
    ],
}
BUSY = {"type": "IOError", "message": "the bank is busy, " * 20, "step_id": LONG, "stack": ""}


def troubled() -> dict[str, Any]:
    steps = [
        step(LONG, "retrying", attempts=2, error=BUSY),
        step("approval", "waiting", kind="wait_for_event"),
        step("charge", "failed", attempts=5, error={**BUSY, "step_id": "charge"}),
        step("receipt", "completed", output={"text": "y" * 500}, ended_at="2026-09-21T14:13:19.012Z"),
    ]
    return a_run("waiting", *steps, function_id="shop." + "f" * 70, journal=[AGAIN])


@pytest.mark.parametrize("columns", [60, 80, 100, 120])
def test_pages_are_no_wider_than_the_terminal(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    event = {"id": "e", "name": "n" * 90, "data": {"z": "w" * 300}, "received_at": NOW_ISO, "user": {"id": "u" * 90}}
    function = {
        "id": "shop." + "f" * 70, "running": 1, "idle": 20_000, "backlog": 3, "flow": {}, "retries": 4,
        "places": [{"used": 1, "limit": 9, "key": None, "oldest_wait": NOW_ISO}],
        "triggers": [{"name": "order/placed", "when": "event.data.total > 0 && " * 9 + "true"}],
    }  # fmt: skip
    pages = [
        table([troubled(), a_run("failed", error=BUSY)], NOW),
        story.timeline(troubled(), NOW, event),
        events._table([event], NOW),
        functions._table([function]),
    ]
    assert [line for page in pages for line in page.splitlines() if text.width(line) > columns] == []
    assert columns - max(text.width(line) for line in pages[0].splitlines()) < 12  # the room there is is used


def test_a_narrow_terminal_shows_when_a_step_is_tried_again_and_what_it_waits_for(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    tty = terminal()
    monkeypatch.setenv("LINES", "40")
    shown = Redrawn()
    shown.show([troubled()])
    drawn = "\n".join(tty.lines)
    page = story.timeline(troubled(), NOW)
    for said in (drawn, page):
        assert "again at 14:13:21 UTC, in 1 s: IOError: the bank is busy" in said
        assert "for order/approved.by.the.manager until 2026-09-23 14:13:20 UTC, in 2 d" in said


def test_what_others_wrote_is_no_markup(terminal: Callable[[], Terminal]) -> None:
    terminal()
    run = a_run("failed", error={"type": "E", "message": "[red]no[/red] :smile: \x1b[2J", "step_id": None, "stack": ""})
    assert "[red]no[/red] :smile: \\x1b[2J" in table([run], NOW)
    assert "[red]no[/red] :smile: \\x1b[2J" in story.timeline(run, NOW)


def test_the_end_of_a_cost_page_says_for_what_and_how_much(
    terminal: Callable[[], Terminal], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from tidemill import App\napp = App('a')\n@app.function(on='b')\ndef f(ctx): ...\n"
    (tmp_path / "app.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    tty = terminal()
    assert main(["cost", "app.py", "--events-per-month", "1000000"]) == 0
    assert max(map(len, tty.lines)) <= 80
    screenful = tty.lines[-10:]
    assert any(line.startswith("1,000,000 events and 1,000,000 runs a month") for line in screenful)
    assert any(line.startswith("In all: $") for line in screenful)


@pytest.mark.parametrize("columns", range(10, 61))
def test_a_row_is_one_line_on_a_narrow_terminal(
    terminal: Callable[[], Terminal], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """Callers pair the lines of a table with its rows."""
    terminal()
    monkeypatch.setenv("COLUMNS", str(columns))
    event = {"id": "e", "name": "n" * 90, "data": {"z": "w" * 300}, "received_at": NOW_ISO, "user": None}
    function = {
        "id": "f" * 70,
        "running": 1,
        "idle": 0,
        "backlog": 3,
        "flow": {},
        "retries": 4,
        "places": [],
        "triggers": [],
    }
    runs = [
        a_run("completed", step("x", "completed")),
        a_run("running", *[step("s" * 40, "completed", output="y" * 90)] * 3),
    ]
    for run in (*runs, troubled()):
        assert story.timeline(run, NOW, event)
        assert len(story._steps_table(run, NOW).split("\n")) > len(run["steps"])
        assert len(steps_of(run, NOW)) >= len(run["steps"])
    for page in (table(runs, NOW), events._table([event] * 2, NOW), functions._table([function] * 2)):
        assert page.count("\n") == 2, page
