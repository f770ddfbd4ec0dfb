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

pytestmark = pytest.mark.xdist_group("emulator")

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


@pytest.fixture
def prefix(mill) -> str:
    return f"tidemill-{mill.name}-"


def test_nothing_was_refused(mill):
    assert rights.refused(mill.emulator) == []


def test_every_right_is_used(mill, prefix):
    calls = rights.used(mill.emulator, prefix) | rights.recorded()
    unused = [
        granted
        for granted in sorted(rights.granted(mill.emulator, prefix))
        if granted.action not in BY_AWS and not any(rights.covers(granted, call) for call in calls)
    ]
    assert unused == []


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
    tails = {right.resource.rpartition(":")[2] for right in rights_given if "*" in right.resource.removesuffix("*")}
    assert tails == set()


def test_the_record_is_of_these_calls(mill, prefix):
    calls = rights.used(mill.emulator, prefix)
    if os.environ.get("RECORD"):
        rights.record(calls)
    assert sorted(calls - rights.recorded()) == []


@pytest.mark.slow
def test_nothing_is_recorded_that_is_no_longer_called(mill, prefix):
    assert sorted(rights.recorded() - rights.used(mill.emulator, prefix)) == []


def test_the_comparison_can_fail():
    granted = Right("api", "s3:GetObject", "arn:aws:s3:::payloads/*")
    assert rights.covers(granted, Right("api", "s3:GetObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("api", "s3:PutObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("events", "s3:GetObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("api", "s3:GetObject", "arn:aws:s3:::other/a"))
