"""The terminal's pictures: each command at both widths, light and dark, and nothing of the machine that drew them."""

from __future__ import annotations

import re
from pathlib import Path

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"


def test_each_command_is_drawn_at_both_widths_light_and_dark() -> None:
    drawn = {path.stem for path in PICTURES.glob("*.svg")}
    commands = {re.sub(r"-(?:80|120)-(?:light|dark)$", "", name) for name in drawn}
    listed = set(
        re.findall(r'^        "([a-z-]+)": f?["\']tidemill ', (PICTURES / "draw.py").read_text(), re.MULTILINE)
    )
    assert commands == listed
    assert drawn == {f"{name}-{width}-{theme}" for name in listed for width in (80, 120) for theme in ("light", "dark")}


def test_pictures_load_nothing_and_name_no_place_of_a_machine() -> None:
    for path in PICTURES.glob("*.svg"):
        text = path.read_text("utf-8")
        assert not re.search(r"(?:src|href|url)[=(]?[\"']?\s*https?:|@import|@font-face|/tmp/|/home/|/root/", text), (
            path.name
        )
