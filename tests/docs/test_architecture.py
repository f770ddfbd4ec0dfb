"""The architecture page names the folders, the ports and the import walls that there are, and no others."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tidemill import ports

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "tidemill" / "python"
PAGE = (ROOT / "docs" / "internals" / "architecture.md").read_text("utf-8")


def _rows(heading: str) -> list[str]:
    """The first cells of the tables below a heading."""
    section = PAGE[PAGE.index(f"\n## {heading}\n") + 1 :].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def _rooms() -> list[str]:
    """Folders that are packages, as the page names them."""
    parts = [(LAYER, LAYER / "tidemill"), *((ROOT, ROOT / name) for name in ("lambdas", "local", "cdk"))]
    return [str(found.parent.relative_to(base)) for base, top in parts for found in top.rglob("__init__.py")]


def test_every_room_has_its_row_and_no_row_is_about_a_room_that_is_gone() -> None:
    assert sorted(_rows("Rooms")) == sorted(_rooms())


def test_every_port_has_its_row() -> None:
    protocols = [
        name for name, found in vars(ports).items() if getattr(found, "_is_protocol", False) and name != "Protocol"
    ]
    assert sorted(_rows("Ports")) == sorted(protocols)


def test_every_wall_is_named() -> None:
    walls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    section = PAGE[PAGE.index("\n## Walls\n") + 1 :].partition("\n## ")[0]
    assert re.findall(r"^- (.*)\.$", section, re.MULTILINE) == [wall["name"] for wall in walls]


def test_every_file_that_the_page_names_exists() -> None:
    for name in re.findall(r"`([a-z_/]+\.py)`", PAGE):
        assert (LAYER / "tidemill" / name).is_file(), name


def test_a_room_of_more_than_a_dozen_modules_is_listed_with_its_reason() -> None:
    crowded = {
        str(folder)
        for folder in _rooms()
        for path in [LAYER / folder if folder.startswith("tidemill") else ROOT / folder]
        if len([file for file in path.glob("*.py") if file.name != "__init__.py"]) > 13
    }
    assert crowded == set(CROWDED), "split the room, or say why it is large"


CROWDED = {
    "tidemill/core": "one module for each kind of decision",
    "lambdas/api": "one module for each kind of resource that the HTTP API has",
    "tidemill/aws/dynamo": "one module for each kind of item in the one table",
    "tidemill/engine/drive": "one module for each kind of thing that running code does",
    "tidemill": "the public face, and the plain data below every room",
    "local/workers": "the server's side of a worker, the worker's side, and what they share",
    "local/cli": "one module for each command",
    "local/store": "one module for each port, and the file beneath them",
}
