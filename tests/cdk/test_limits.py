"""What AWS refuses is refused at synth, in a sentence that says what to do; what the constructs make is far from it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tidemill_cdk.checks.limits import MANAGED_POLICY, PATTERN, RESOURCES, ROLE_POLICY, characters, problems

ROLE = {"Type": "AWS::IAM::Role", "Properties": {}}


def policy(size: int, **fields: Any) -> dict[str, Any]:
    return {"Type": "AWS::IAM::Policy", "Properties": {"PolicyDocument": "x" * size, "Roles": [{"Ref": "R"}], **fields}}


def managed(size: int) -> dict[str, Any]:
    return {**policy(size), "Type": "AWS::IAM::ManagedPolicy"}


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ({"Resources": {f"R{n}": ROLE for n in range(RESOURCES + 1)}}, "tidemill:function_stacks"),
        ({"Outputs": dict.fromkeys(map(str, range(201)), "")}, "201 outputs"),
        ({"Resources": {"R": ROLE, "A": policy(6_000), "B": policy(ROLE_POLICY - 6_000 + 1)}}, "10,240"),
        ({"Resources": {"R": ROLE, "A": managed(MANAGED_POLICY + 1)}}, "6,144"),
        ({"Resources": {"R": ROLE, **{f"A{n}": managed(9) for n in range(11)}}}, "11 managed policies"),
        (
            {"Resources": {"F": {"Type": "AWS::Lambda::Function", "Properties": {
                "Environment": {"Variables": {"TIDEMILL_FUNCTION": "x" * 4_090}}}}}},
            "TIDEMILL_FUNCTION",
        ),
        (
            {"Resources": {"F": {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": "x" * (PATTERN + 1)}}}},
            "2,049 characters",
        ),
        ({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "q" * 81}}}}, "80 characters"),
        ({"Resources": {"Q": {"Type": "Custom::X", "Properties": {"Text": "x" * 1_000_000}}}}, "1,000,000"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_told_with_what_to_do(template: dict[str, Any], sentence: str) -> None:
    (problem,) = problems("Shop", template)
    assert sentence in problem
    assert problem.startswith(("the stack Shop", "the template of the stack Shop", "Shop/"))


def test_what_just_fits_is_not_refused() -> None:
    template = {"Resources": {"R": ROLE, "A": policy(5_000), "B": policy(5_200), "C": managed(6_100)}}
    assert problems("Shop", template) == []


def test_references_are_taken_for_as_long_as_they_may_become() -> None:
    assert characters({"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, ":sqs"]]}) == len('"arn:aws-us-gov:sqs"')


def test_the_stacks_of_the_session_fit(synthesized: Path) -> None:
    found = [
        problem
        for path in synthesized.glob("*.template.json")
        for problem in problems(path.name, json.loads(path.read_text()))
    ]
    assert found == []


SCRIPT = """
import json, sys
from pathlib import Path
from tidemill_cdk import Settings, Tidemill
from aws_cdk import App, Stack

functions, stacks = int(sys.argv[2]), int(sys.argv[3])
folder = Path(sys.argv[1]) / "functions"
folder.mkdir()
for number in range(functions):
    arn = f"arn:aws:lambda:us-east-1:111122223333:function:crm{number}"
    steps = {"call": {"runtime": {"type": "http", "url": "https://example.com"}}}
    if number % 3 == 0:
        steps["crm"] = {"runtime": {"type": "lambda", "arn": arn}}
    if number % 30 == 0:
        (folder / "steps" / f"s{number}").mkdir(parents=True)
        (folder / "steps" / f"s{number}" / "handler.py").write_text("def handler(event, context): ...")
        steps["own"] = {"path": f"steps/s{number}", "runtime": {"type": "lambda"}}
        steps["box"] = {"runtime": {"type": "docker", "image": "public.ecr.aws/docker/library/busybox:1"}}
    declared = {"name": f"f{number}", "id": f"f{number}", "triggers": [{"event": f"a{number}"}], "steps": steps}
    (folder / f"f{number}.function.json").write_text(json.dumps(declared))
app = App(outdir=sys.argv[1] + "/out")
stack = Stack(app, "Big")
deployment = Tidemill(stack, "Tidemill", settings=Settings(function_stacks=stacks, rules=400))
deployment.add_definitions(folder, id="Graphs")
app.synth()
"""


def synth(folder: Path, functions: int, stacks: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(functions), str(stacks)]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder)


@pytest.mark.slow
def test_three_hundred_functions_fit_one_deployment(tmp_path: Path) -> None:
    done = synth(tmp_path, 300, 8)
    assert done.returncode == 0, done.stderr[-3000:]
    templates = {path.name: json.loads(path.read_text()) for path in (tmp_path / "out").glob("*.template.json")}
    assert len(templates) == 9
    functions = [
        one for each in templates.values() for one in each["Resources"].values()
        if one["Type"] == "Custom::TidemillFunction"
    ]  # fmt: skip
    assert len(functions) == 300
    assert [problem for name, one in templates.items() for problem in problems(name, one)] == []


@pytest.mark.slow
def test_too_many_resources_are_refused_first_in_a_sentence(tmp_path: Path) -> None:
    done = synth(tmp_path, 180, 0)
    assert done.returncode != 0
    assert "set tidemill:function_stacks to" in done.stderr
    assert "Tidemill.import_" in done.stderr
