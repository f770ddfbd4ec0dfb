"""cfn-lint and checkov find nothing in the templates but what is meant to be, each with its reason beside the resource.

Both run in an environment of their own (`make .linters/.installed`), beside each other: they take some seconds.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

LINTERS = Path(__file__).parents[2] / ".linters" / "bin"
# W3005: the CDK writes down dependencies that a reference implies already, for roles and their policies together.
IGNORED = ("W3005",)
USERS = "Legacy"  # a Lambda in the test's stack that is the user's own, made as users make theirs


def run(*words: str | Path) -> subprocess.Popen[str]:
    assert LINTERS.is_dir(), "cfn-lint and checkov are not installed: `make .linters/.installed`"
    program = LINTERS / words[0]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    pipe = subprocess.PIPE
    return subprocess.Popen([program, *words[1:]], stdout=pipe, stderr=pipe, text=True, env=environment)


def test_the_linters_find_nothing_that_is_not_meant_to_be(synthesized: Path) -> None:
    templates = sorted(synthesized.glob("*.template.json"))
    assert len(templates) == 3
    linted = run(
        "cfn-lint",
        "--format",
        "parseable",
        "--regions",
        "us-east-1",
        "--ignore-checks",
        *IGNORED,
        "--template",
        *templates,
    )
    checked = run("checkov", "--skip-download", "--framework", "cloudformation", "-o", "json", "--file", *templates)
    said, _ = linted.communicate(timeout=120)
    report, error = checked.communicate(timeout=120)
    assert (linted.returncode, said) == (0, "")
    results = json.loads(report)["results"]
    assert results["passed_checks"], error
    failed = {
        f"{one['check_id']} {one['resource']}"
        for one in results["failed_checks"]
        if not one["resource"].startswith(f"AWS::Lambda::Function.{USERS}")
    }
    assert failed == set()
    assert all(one["check_result"]["suppress_comment"].strip() for one in results["skipped_checks"])
