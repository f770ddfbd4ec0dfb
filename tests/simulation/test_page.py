"""docs/internals/simulation.md names every world, layer, rule, operation and fault, in the words of the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulation import faults, layers, rules, states, worlds

PAGE = (Path(__file__).parents[2] / "docs" / "internals" / "simulation.md").read_text()


def _row(name: str, about: Any) -> str:
    return f"| `{name}` | {' '.join((about.__doc__ or '').strip().split(chr(10) * 2)[0].split())} |"


ROWS = [
    *(f"| `{world}` | {about} |" for world, about in worlds.WORLDS.items()),
    *(_row(layer.name, layer.lay) for layer in layers.LAYERS),
    *(_row(rule.__name__, rule) for rule in rules.RULES),
    *(f"| {operation} | {about} |" for operation, about in states.OPERATIONS.items()),
    *(_row(fault.name, fault.put_back) for fault in faults.FAULTS),
]


@pytest.mark.parametrize("row", ROWS)
def test_the_page_has_this_row(row: str) -> None:
    assert row in PAGE
