"""Least privilege: what the Lambdas called in all stories, held against what their roles allow. Runs after the stories.

The emulator weighs every call and refuses what no policy allows, so nothing is missing where the stories go well. That
nothing is unused can only be said of all stories: `make e2e` tells them all, and compares with recorded_calls.json
(`make e2e RECORD=1` writes it anew); `make test` tells some, and takes the others from that file.
"""

from __future__ import annotations

import os

import pytest
from e2e_aws import rights
from e2e_aws.rights import Right

# What AWS itself does with a Lambda's role: no call of ours, and none that the emulator weighs.
BY_AWS = {
    "sqs:ReceiveMessage": "the event source mapping",
    "sqs:DeleteMessage": "the event source mapping",
    "sqs:GetQueueAttributes": "the event source mapping",
    "sqs:ChangeMessageVisibility": "the event source mapping",
    "logs:CreateLogStream": "the log of the Lambda",
    "logs:PutLogEvents": "the log of the Lambda",
    "xray:PutTraceSegments": "the traces of the Lambda",
    "xray:PutTelemetryRecords": "the traces of the Lambda",
    "iam:PassRole": "checked by scheduler:CreateSchedule, which is recorded",
}

# Rights for calls that no story is sure to come to: action and end of the resource. Each is asserted at the client,
# where it says.
ELSEWHERE = {
    ("scheduler:UpdateSchedule", "*"): "tests/unit/aws/test_queue.py: a run that has a schedule already",
    ("sqs:SendMessage", "_events"): "tests/lambdas/test_events_queue.py: more waiters than one invocation can wake",
}
# Each of these may be the one that brings a run to its end and does all that an end takes: one set of rights for all,
# used where any of them uses it.
ENGINE = {"app", "api", "events", "sweeper"}


@pytest.fixture
def prefix(mill) -> str:
    return f"tidemill-{mill.name}-"


def test_the_record_is_of_these_calls(mill, prefix):
    calls = rights.used(mill.emulator, prefix)
    if os.environ.get("RECORD"):
        rights.record({call for call in calls if not by_chance(call)})
    assert sorted(call for call in calls - rights.recorded() if not by_chance(call)) == []


def test_nothing_was_refused(mill):
    assert rights.refused(mill.emulator) == []


def test_every_right_is_used(mill, prefix):
    calls = rights.used(mill.emulator, prefix) | rights.recorded()

    def used(right: Right) -> bool:
        by = ENGINE if right.lambda_ in ENGINE else {right.lambda_}
        return any(rights.covers(right._replace(lambda_=name), call) for name in by for call in calls)

    assert [
        right for right in sorted(rights.granted(mill.emulator, prefix)) if not excused(right) and not used(right)
    ] == []


def excused(right: Right) -> bool:
    return right.action in BY_AWS or by_chance(right)


def by_chance(right: Right) -> bool:
    """A call that comes now and then, when something is late."""
    return any(right.action == action and right.resource.endswith(end) for action, end in ELSEWHERE)


def test_every_recorded_call_is_allowed(mill, prefix):
    rights_given = rights.granted(mill.emulator, prefix)
    recorded = sorted(rights.recorded())
    assert [call for call in recorded if not any(rights.covers(right, call) for right in rights_given)] == []


def test_no_action_is_a_pattern_and_no_resource_is_everything(mill, prefix):
    """A name that nobody knows beforehand ends in `*`, each with its reason in cdk/permissions.py."""
    rights_given = rights.granted(mill.emulator, prefix)
    assert [right for right in rights_given if "*" in right.action] == []
    assert {right.action for right in rights_given if right.resource == "*"} <= {
        action for action in BY_AWS if "xray" in action
    }
    patterns = {right.resource.rpartition(":")[2] for right in rights_given if "*" in right.resource.removesuffix("*")}
    assert patterns == {"tidemill-e2e-*-dead"}  # the dead letters of every function, which the sweeper reads


@pytest.mark.slow
def test_nothing_is_recorded_that_is_no_longer_called(mill, prefix):
    assert sorted(rights.recorded() - rights.used(mill.emulator, prefix)) == []


def test_the_comparison_can_fail():
    granted = Right("api", "s3:GetObject", "arn:aws:s3:::payloads/*")
    assert rights.covers(granted, Right("api", "s3:GetObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("api", "s3:PutObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("events", "s3:GetObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("api", "s3:GetObject", "arn:aws:s3:::other/a"))
