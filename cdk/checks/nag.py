"""Records accepted findings of cdk-nag and checkov at their resources, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, CfnResource, Stack, Validations
from constructs import IConstruct


def accepted(construct: IConstruct, rule: str, reason: str) -> None:
    """Accept this finding: "AwsSolutions-S1", or one with its place, "AwsSolutions-IAM5[…]"."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def justified(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings of checkov, with the reason, in the resource's metadata, which checkov reads."""
    resource = construct.node.default_child
    assert isinstance(resource, CfnResource)
    skipped = [{"id": rule, "comment": reason} for rule, reason in reasons.items()]
    resource.add_metadata("checkov", {"skip": skipped})


def wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Record why this resource of a policy below `construct` has a `*`."""
    shown = _shown(Stack.of(construct).resolve(resource))
    accepted(construct, f"AwsSolutions-IAM5[Resource::{shown}]", reason)


def _shown(value: Any) -> str:
    """The text in cdk-nag's format: values unknown before the deployment appear by name."""
    if isinstance(value, str):
        return value
    name, inner = next(iter(value.items()))
    if name == "Fn::Join":
        return "".join(map(_shown, inner[1]))
    return f"<{inner if isinstance(inner, str) else '.'.join(inner)}>"
