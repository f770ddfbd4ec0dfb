"""`cdk deploy` of this repository: the platform, with every example as an app of it."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def installed(folder: Path) -> Path:
    """The folder, with what `pip install .` puts into site-packages."""
    copy = folder / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("src", "layers", "lambdas", "local", "cdk"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    install = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        folder / "site",
        copy,
    ]
    subprocess.run([sys.executable, *install], check=True, capture_output=True)
    return folder / "site"


def test_it_deploys_the_platform_with_all_examples(tmp_path: Path) -> None:
    """As the CDK's command line runs it, from a checkout whose packages are installed, not linked to."""
    python, *words = shlex.split(json.loads((ROOT / "cdk.json").read_text())["app"])
    assert python == "python"
    site = installed(tmp_path)
    environment = {**os.environ, "CDK_OUTDIR": str(tmp_path), "PYTHONPATH": str(site)}
    command = [sys.executable, *words]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    where = [sys.executable, "-c", "import tidemill_cdk; print(tidemill_cdk.__file__)"]
    found = subprocess.run(where, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()).is_relative_to(site)
    made: dict[str, Any] = json.loads((tmp_path / "Tidemill-prod.template.json").read_text())["Resources"]
    declared = [json.loads(one["Properties"]["Function"]) for one in _of(made, "Custom::TidemillFunction")]
    written = [path for path in (ROOT / "examples").rglob("*.py") if "= App(" in path.read_text(encoding="utf-8")]
    assert len({one["app"] for one in declared}) == len(written), "an example that cdk/app.py does not deploy"
    assert len(_of(made, "AWS::DynamoDB::Table")) == 1
    assert len(made) < 500, "a stack takes 500 resources"


def _of(made: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [one for one in made.values() if one["Type"] == kind]
