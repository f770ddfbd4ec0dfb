"""The table of docs/aws/event-patterns.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tidemill.core.pattern import pattern
from tidemill.model import EventTrigger

PAGE = (Path(__file__).parents[2] / "docs" / "aws" / "event-patterns.md").read_text("utf-8")
ROWS = [
    (when.replace("\\|", "|"), json.loads(filters))
    for when, filters in re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.M)
]


def test_there_is_a_table() -> None:
    assert len(ROWS) > 20


@pytest.mark.parametrize(("when", "filters"), ROWS)
def test_what_compiles_to_what(when: str, filters: dict[str, object]) -> None:
    made = pattern([EventTrigger("user/signed.up", when)])
    assert made == {"source": ["tidemill"], "detail": {"name": ["user/signed.up"], **filters}}
