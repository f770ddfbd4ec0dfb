from __future__ import annotations

import json
from pathlib import Path

import pytest

from tidemill_cdk.problems import DeployError
from tidemill_cdk.settings import Settings, of_context

ROOT = Path(__file__).parents[2]


def test_defaults() -> None:
    assert of_context({"aws:cdk:version": "2"}) == Settings()
    assert Settings().removal == "retain"


def test_of_a_context() -> None:
    found = of_context({"tidemill:name": "staging", "tidemill:log_days": 7})
    assert (found.name, found.log_days) == ("staging", 7)


def test_the_command_line_gives_text() -> None:
    assert of_context({"tidemill:requests_per_second": "50"}).requests_per_second == 50


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(DeployError) as told:
        of_context(
            {
                "tidemill:name": "Prod-1",
                "tidemill:log_days": 8,
                "tidemill:burst": "many",
                "tidemill:python": "3.9",
                "tidemill:colour": "blue",
                "tidemill:alarm_email": "nobody",
            }
        )
    assert sorted(problem.split()[0] for problem in told.value.problems) == [
        "tidemill:alarm_email",
        "tidemill:burst",
        "tidemill:colour",
        "tidemill:log_days",
        "tidemill:name",
        "tidemill:python",
    ]
    assert "lower-case letters and digits" in str(told.value)


def test_own_cdk_json() -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    assert of_context(context).name == "prod"
