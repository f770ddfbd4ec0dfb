"""Least privilege: what the Lambdas called in all stories, held against what their roles allow. Runs after the stories.

The emulator weighs every call and refuses what no policy allows, so nothing is missing where the stories go well. That
nothing is unused can only be said of all stories: `make e2e` tells them all, and compares with recorded_calls.json
(`make e2e RECORD=1` writes it anew); `make test` tells some, and takes the others from that file.
"""

from __future__ import annotations

import os
import re

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
    "s3:ListBucket": "S3 looks at it where an object is missing: 404 with it, 403 without",
    "iam:PassRole": "checked by scheduler:CreateSchedule, which is recorded",
}

# Rights for calls that no story is sure to come to: action and a pattern of the resource. Each call is asserted at the
# client, where it says, and each right on the policies of the template, in tests/cdk/test_policies.py.
ELSEWHERE = {
    (
        "",
        "scheduler:UpdateSchedule",
        r"/\*$",
    ): "tests/unit/aws/messages/test_queue.py: a run that has a schedule already",
    ("app", "s3:GetObject", "/blobs/"): "tests/unit/aws/test_runs_calls.py: a process that does not hold the value yet",
    ("events", "sqs:SendMessage", "EventsQueues"): "tests/lambdas/test_events_queue.py: more waiters than one can wake",
    ("sweeper", "sqs:SendMessage", "EventsQueues"): "tests/lambdas/test_events_queue.py: a delayed event is due",
    ("app", "secretsmanager:GetSecretValue", r"/store-\*$"): "add_app(secrets=): the app's own code may read it",
    ("app", "secretsmanager:DescribeSecret", r"/store-\*$"): "the same",
    ("ingest", "s3:PutObject", "/blobs/"): "tests/contract/test_event_store.py: a rejected event too large for an item",
    ("ingest", "s3:GetObject", "/blobs/"): "the same, kept already",
    ("api", "logs:FilterLogEvents", r":log-group:\*:\*$"): "tests/unit/aws/test_run_logs.py: the logs of a run",
    ("registry", "sqs:SetQueueAttributes", r"-\*$"): "tests/lambdas/test_registry_queues.py: a queue that is there",
    ("registry", "sqs:ReceiveMessage", r"-\*$"): "the same: the queue of a function that is gone",
    ("registry", "sqs:SendMessage", r"-\*$"): "the same",
    ("registry", "sqs:DeleteMessage", r"-\*$"): "the same",
    ("registry", "sqs:DeleteQueue", r"-\*$"): "the same",
}
# Each of these may be the one that brings a run to its end and does all that an end takes: one set of rights for all,
# used where any of them uses it.
ENGINE = {"app", "api", "events", "sweeper", "registry"}


def test_the_record_is_of_these_calls(deployment):
    calls = rights.used(deployment.emulator)
    if os.environ.get("RECORD"):
        rights.record({call for call in calls if not by_chance(call)})
    assert sorted(call for call in calls - rights.recorded() if not by_chance(call)) == []


def test_nothing_was_refused(deployment):
    assert rights.refused(deployment.emulator) == []


def test_every_right_is_used(deployment):
    calls = rights.used(deployment.emulator) | rights.recorded()

    def used(right: Right) -> bool:
        by = ENGINE if right.lambda_ in ENGINE else {right.lambda_}
        return any(rights.covers(right._replace(lambda_=name), call) for name in by for call in calls)

    unused = [right for right in sorted(rights.granted(deployment.emulator)) if not excused(right) and not used(right)]
    assert not unused, "\n".join(map(str, unused))


def excused(right: Right) -> bool:
    return right.action in BY_AWS or by_chance(right)


def by_chance(right: Right) -> bool:
    """A call that comes now and then, when something is late."""
    return any(
        lambda_ in ("", right.lambda_) and right.action == action and re.search(pattern, right.resource) is not None
        for lambda_, action, pattern in ELSEWHERE
    )


def test_every_recorded_call_is_allowed(deployment):
    rights_given = rights.granted(deployment.emulator)
    recorded = sorted(rights.recorded())
    assert [call for call in recorded if not any(rights.covers(right, call) for right in rights_given)] == []


def test_no_action_is_a_pattern_and_no_resource_is_everything(deployment):
    """A name that nobody knows beforehand ends in `*`, each with its reason in cdk/resources/permissions.py."""
    rights_given = rights.granted(deployment.emulator)
    assert [right for right in rights_given if "*" in right.action] == []
    assert {right.action for right in rights_given if right.resource == "*"} <= {
        action for action in BY_AWS if "xray" in action
    }
    patterns = {right.resource.rpartition(":")[2] for right in rights_given if "*" in right.resource.removesuffix("*")}
    # The dead letters of every function, which the sweeper reads; and log groups, of which a tag admits functions' own.
    assert patterns == {"tidemill-e2e-*-dead", "*"}


@pytest.mark.slow
def test_nothing_is_recorded_that_is_no_longer_called(deployment):
    assert sorted(rights.recorded() - rights.used(deployment.emulator)) == []


def test_the_comparison_can_fail():
    granted = Right("api", "s3:GetObject", "arn:aws:s3:::payloads/*")
    assert rights.covers(granted, Right("api", "s3:GetObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("api", "s3:PutObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("events", "s3:GetObject", "arn:aws:s3:::payloads/a"))
    assert not rights.covers(granted, Right("api", "s3:GetObject", "arn:aws:s3:::other/a"))
