"""The first screen of the README shows what a newcomer's terminals show."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.devserver import DevServer, eventually
from e2e.test_cli import said

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def alike(text: str) -> list[str]:
    """Without what differs from run to run: ids, times, durations, the port."""
    for what, pattern in (
        ("<id>", r"\b[0-9A-Z]{26}\b"),
        ("<short>", r"(?<=  )[0-9A-Z]{8}(?=  )"),
        ("<time>", r"\b\d\d:\d\d:\d\d\b"),
        ("<took>", r"\b\d+(?:\.\d)? m?s\b"),
        ("<port>", r"(?<=127\.0\.0\.1:)\d+"),
    ):
        text = re.sub(pattern, what, text)
    return text.strip().splitlines()


def test_the_terminals_of_the_first_screen_are_real(dev: DevServer) -> None:
    sent, told = re.findall(r"```text\n(.*?)```", README, re.DOTALL)[:2]
    said(dev, "init")
    dev.start("app.py")
    assert alike(said(dev, "send", "order/placed", "@order.json", "--wait")) == alike(sent)
    eventually(lambda: alike(dev.output())[-1].startswith("<time> ✓"))
    assert alike(dev.output()) == alike(told)


def test_the_first_screen_names_both_commands_and_says_once_what_is_not_published() -> None:
    first = README[: README.index("## What you get")]
    assert "make demo" in first
    assert "make test" in first
    assert len(re.findall(r"on PyPI", README)) == 1
    assert "AWS" in first[: first.index("\n\n", first.index("Tidemill is"))]
