"""`cdk deploy` of this repository: the platform, with every example as an app of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_it_deploys_the_platform_with_all_examples(tmp_path: Path) -> None:
    command = [sys.executable, ROOT / "cdk" / "app.py"]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "CDK_OUTDIR": str(tmp_path)}, check=True, capture_output=True)
    made: dict[str, Any] = json.loads((tmp_path / "Tidemill-prod.template.json").read_text())["Resources"]
    declared = [json.loads(one["Properties"]["Function"]) for one in _of(made, "Custom::TidemillFunction")]
    written = [path for path in (ROOT / "examples").rglob("*.py") if "= App(" in path.read_text(encoding="utf-8")]
    assert len({one["app"] for one in declared}) == len(written), "an example that cdk/app.py does not deploy"
    assert len(_of(made, "AWS::DynamoDB::Table")) == 1
    assert len(made) < 500, "a stack takes 500 resources"


def _of(made: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in made.values() if one["Type"] == kind]
