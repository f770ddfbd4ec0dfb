"""Functions without an SDK, in the emulated account: steps as Lambdas, an HTTP service, a WebAssembly module."""

from __future__ import annotations

import json

import pytest
from e2e_aws.receiver import signed

from tidemill.aws.settings import step_name


@pytest.fixture(scope="module")
def run(deployment, begun):
    """The run of the one definition, completed."""
    return deployment.at("completed", begun["graph"], "graph", within=90)


def test_a_graph_runs_to_its_leaves(run):
    assert set(run["output"]) == {"module", "last"}
    assert {name: step["status"] for name, step in run["steps"].items()} == dict.fromkeys(
        ("quick", "late", "hook", "module", "last"), "completed"
    )


def test_a_folder_is_a_lambda_of_its_own_and_is_tried_again(run):
    quick = run["steps"]["quick"]
    assert quick["attempts"] == 2
    assert quick["output"]["step"] == "quick"
    assert 10_000 < quick["output"]["ms"] <= 20_000  # of the step's own timeout
    assert quick["output"]["pid"] != run["steps"]["late"]["output"]["pid"]


def test_a_lambda_that_takes_longer_keeps_no_executor_waiting(deployment, run):
    """It ends later than it is waited for, and its end comes by the queue; what comes after it is given its output."""
    late = run["steps"]["late"]
    assert (late["attempts"], late["output"]["attempt"]) == (1, 1)
    assert run["output"]["last"]["after"]["late"] == late["output"]
    kinds = [record["type"] for record in run["journal"]]
    assert "suspended" in kinds
    assert "resolved" in kinds
    own = step_name(deployment.name, "graph", "late")
    assert {call["action"] for call in deployment.emulator.calls() if call["lambda"] == own} == {"sqs:SendMessage"}


def test_an_http_step_is_a_signed_request(deployment, run, receiver):
    ((headers, body),) = receiver.taken
    secrets = deployment.emulator.client("secretsmanager")
    [arn] = [one["ARN"] for one in secrets.list_secrets()["SecretList"] if "http steps" in one.get("Description", "")]
    key = secrets.get_secret_value(SecretId=arn)
    assert signed(headers, body, key["SecretString"])
    assert not signed(headers, body, "another")
    assert headers["Idempotency-Key"]
    assert json.loads(body)["steps"]["quick"] == run["steps"]["quick"]["output"]
    assert run["steps"]["hook"]["output"] == {"status": 200, "body": {"took": 1}}


def test_a_webassembly_module_runs_in_the_executor(run):
    assert run["output"]["module"] == {"ran": "wasm"}
