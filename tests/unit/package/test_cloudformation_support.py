"""The strictness that tests put on top of the emulator refuses what AWS was seen to refuse."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from moto import mock_aws
from support.cloudformation import policies_refused, refused


def rule(pattern: Any) -> dict[str, Any]:
    return {"Resources": {"R": {"Type": "AWS::Events::Rule", "Properties": {"EventPattern": pattern}}}}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (rule({"detail": {"x": [None, "a"]}}), "'null' values are not allowed"),
        (rule({"detail": {"x": []}}), "Empty arrays"),
        (rule(json.dumps({"detail": {"$or": [{"x": []}, {"y": ["a"]}]}})), "Empty arrays"),
        (
            {"Resources": {"Q": {"DeletionPolicy": "Retain", "Properties": {"QueueName": "q"}}}},
            "kept through the rollback",
        ),
    ],
)
def test_a_template_that_aws_refuses(template: dict[str, Any], said: str) -> None:
    (problem,) = refused(template)
    assert said in problem


def test_a_template_that_aws_takes() -> None:
    taken = rule(json.dumps({"detail": {"x": [None, "a"], "y": [{"exists": False}]}}))
    taken["Resources"]["Q"] = {"DeletionPolicy": "RetainExceptOnCreate", "Properties": {"QueueName": "q"}}
    taken["Resources"]["L"] = {"DeletionPolicy": "Retain", "Properties": {}}
    assert refused(taken) == []


def document(characters: int) -> str:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", "Sid": "x" * characters}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_policies_that_aws_refuses() -> None:
    with mock_aws():
        iam = boto3.client("iam", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
        for role in ("large", "small"):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=document(1))
            for policy in ("a", "b") if role == "large" else ("a",):
                iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document(6_000))
        iam.create_policy(PolicyName="fits", PolicyDocument=document(6_000))
        assert len(policies_refused(iam)) == 1
        (role,) = policies_refused(iam)
        assert "role large" in role
