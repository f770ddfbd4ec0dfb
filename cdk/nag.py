"""Findings of cdk-nag that are meant to be, each noted beside its resource with the reason."""

from __future__ import annotations

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct


def accepted(construct: IConstruct, rule: str, reason: str) -> None:
    """Note that this finding is meant to be: "AwsSolutions-S1", or one with its place, "AwsSolutions-IAM5[…]"."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Note why this resource of a policy below `construct` holds a `*`."""
    stack = Stack.of(construct)
    shown = resource
    for token, name in (
        (stack.partition, "<AWS::Partition>"),
        (stack.region, "<AWS::Region>"),
        (stack.account, "<AWS::AccountId>"),
    ):
        if token.startswith("${"):  # not known before the deployment: cdk-nag shows its name
            shown = shown.replace(token, name)
    accepted(construct, f"AwsSolutions-IAM5[Resource::{shown}]", reason)
