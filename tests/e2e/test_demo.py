"""`make demo`, as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_demo_finds_all_as_it_should_be() -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo.py"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert "what they were answered: [401, 401, 401]" in done.stdout
    assert "deliver, 3 attempts → completed" in done.stdout


def test_the_demo_tells_what_is_not_as_it_should_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from examples.demo import Verdict, judge

    verdict = Verdict(tmp_path)
    stories = ("signup", "video", "invoices", "coordination", "recordings", "deliveries", "edits", "webhooks")
    judge(verdict, {story: [] for story in stories})
    assert len(verdict.wrong) == 22
