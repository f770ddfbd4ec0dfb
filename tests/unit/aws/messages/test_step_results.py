"""Messages that tell how work ended that went on elsewhere, as their senders write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tidemill.aws.messages.parse import read
from tidemill.aws.messages.types import NotAMessage, Start, StepFinished, Stopped, Wake

# As in AWS's documentation of destinations for asynchronous invocations.
RECORD = {
    "version": "1.0",
    "timestamp": "2019-11-14T18:16:05.568Z",
    "requestContext": {
        "requestId": "e4b46cbf-b738-xmpl-8880-a18cdf61200e",
        "functionArn": "arn:aws:lambda:us-east-2:123456789012:function:my-function:tidemill-prod-signup",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 1,
    },
    "requestPayload": {"event": {}, "steps": {}, "ctx": {"run_id": "r1", "step_id": "slow", "attempt": 3}},
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "responsePayload": {
        "errorMessage": "RequestId: e4b46cbf-b738-xmpl-8880-a18cdf61200e Process exited before completing request"
    },
}

# As in AWS's documentation of ECS's events, with the fields of a task on Fargate.
TASK = {
    "version": "0",
    "id": "3317b2af-7005-947d-b652-f55e762e571a",
    "detail-type": "ECS Task State Change",
    "source": "aws.ecs",
    "account": "111122223333",
    "time": "2026-11-28T17:57:58Z",
    "region": "us-west-2",
    "resources": ["arn:aws:ecs:us-west-2:111122223333:task/FargateCluster/c13b4cb40f1f4fe4a2971f76ae5a47ad"],
    "detail": {
        "attachments": [{"id": "1789bcae", "type": "eni", "status": "DELETED", "details": []}],
        "availabilityZone": "us-west-2c",
        "clusterArn": "arn:aws:ecs:us-west-2:111122223333:cluster/FargateCluster",
        "containers": [
            {
                "containerArn": "arn:aws:ecs:us-west-2:111122223333:container/cf159fd6-3e3f-4a9e-84f9-66cbe726af01",
                "exitCode": 0,
                "lastStatus": "STOPPED",
                "name": "step",
                "image": "111122223333.dkr.ecr.us-west-2.amazonaws.com/hello-repository:latest",
                "runtimeId": "ad64cbc71c7fb31c55507ec24c9f77947132b03d48d9961115cf24f3b7307e1e",
                "taskArn": "arn:aws:ecs:us-west-2:111122223333:task/FargateCluster/c13b4cb40f1f4fe4a2971f76ae5a47ad",
                "networkInterfaces": [],
                "cpu": "0",
            },
            {"exitCode": 143, "lastStatus": "STOPPED", "name": "clock"},
            {"lastStatus": "STOPPED", "name": "router", "reason": "OutOfMemoryError: Container killed"},
        ],
        "createdAt": "2026-11-28T17:57:00.000Z",
        "launchType": "FARGATE",
        "cpu": "256",
        "memory": "512",
        "desiredStatus": "STOPPED",
        "group": "tidemill-prod-signup",
        "lastStatus": "STOPPED",
        "overrides": {"containerOverrides": [{"name": "step", "command": ["{}"]}]},
        "connectivity": "CONNECTED",
        "startedBy": "01KQRUN/2/0123456789abcdef",
        "stopCode": "EssentialContainerExited",
        "stoppedReason": "Essential container in task exited",
        "startedAt": "2026-11-28T17:57:30.000Z",
        "stoppingAt": "2026-11-28T17:57:50.000Z",
        "stoppedAt": "2026-11-28T17:57:58.103Z",
        "updatedAt": "2026-11-28T17:57:58.103Z",
        "taskArn": "arn:aws:ecs:us-west-2:111122223333:task/FargateCluster/c13b4cb40f1f4fe4a2971f76ae5a47ad",
        "taskDefinitionArn": "arn:aws:ecs:us-west-2:111122223333:task-definition/hello:1",
        "version": 5,
        "platformVersion": "1.4.0",
    },
}


def changed(message: dict[str, Any], **fields: Any) -> str:
    return json.dumps({**message, **fields})


def test_a_wrappers_word() -> None:
    body = '{"ended": {"run_id": "r1", "step_id": "crm", "attempt": 1, "value": {"a": [1]}}}'
    assert read(body) == StepFinished("r1", "crm", 1, b'{"a": [1]}')
    body = '{"ended": {"run_id": "r1", "step_id": "crm", "attempt": 1, "blob": "sha"}}'
    assert read(body) == StepFinished("r1", "crm", 1, blob="sha")


def test_lambdas_word_of_a_failure() -> None:
    found = read(json.dumps(RECORD))
    assert isinstance(found, StepFinished)
    assert (found.run_id, found.step_id, found.attempt, found.value) == ("r1", "slow", 3, None)
    assert found.failure is not None
    assert "Process exited" in found.failure.message


def test_lambdas_word_of_a_success() -> None:
    context = {**RECORD["requestContext"], "condition": "Success"}
    response = {"statusCode": 200, "executedVersion": "$LATEST"}
    found = read(changed(RECORD, requestContext=context, responseContext=response, responsePayload={"ok": True}))
    assert found == StepFinished("r1", "slow", 3, b'{"ok": true}')


def test_lambdas_word_that_it_never_ran() -> None:
    context = {**RECORD["requestContext"], "condition": "EventAgeExceeded"}
    record = {name: value for name, value in RECORD.items() if not name.startswith("response")}
    found = read(changed(record, requestContext=context))
    assert isinstance(found, StepFinished)
    assert found.failure is not None
    assert (found.failure.type, found.failure.retriable) == ("EventAgeExceeded", True)


def test_a_lambda_that_ran_out_of_time() -> None:
    found = read(changed(RECORD, responsePayload={"errorMessage": "2026-11-28T Task timed out after 3.00 seconds"}))
    assert isinstance(found, StepFinished)
    assert found.failure is not None
    assert found.failure.type == "StepTimeoutError"


def test_ecs_word_of_a_task() -> None:
    arn = TASK["detail"]["taskArn"]
    reason = "Essential container in task exited; router: OutOfMemoryError: Container killed"
    codes = {"step": 0, "clock": 143, "router": None}
    at = 1_795_888_678_103
    assert read(json.dumps(TASK)) == Stopped(
        "01KQRUN", "0123456789abcdef", 2, arn, codes, "EssentialContainerExited", reason, at
    )


@pytest.mark.parametrize(
    "body",
    [
        changed(TASK, detail={**TASK["detail"], "startedBy": "ecs-svc/123"}),
        changed(TASK, detail={**TASK["detail"], "lastStatus": "RUNNING"}),
        changed(TASK, detail={"taskArn": 1}),
        changed(RECORD, requestPayload={"somebody": "else's"}),
        '{"ended": {"run_id": "r1"}}',
        '{"source": "aws.ecs"}',
        '"aws.ecs"',
    ],
)
def test_what_tells_of_nothing_of_ours(body: str) -> None:
    with pytest.raises(NotAMessage):
        read(body)


def test_an_event_that_speaks_of_ecs_is_an_event() -> None:
    detail = {"id": "e", "name": "a/b", "data": {"source": "aws.ecs"}, "ts": 1, "received_at": 1}
    assert isinstance(read(json.dumps({"source": "tidemill", "detail": detail})), Start)
    assert read('{"look": "r1"}') == Wake("r1")
