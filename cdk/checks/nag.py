"""Findings of cdk-nag and checkov that are meant to be, each noted beside its resource with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Acknowledgment, CfnResource, Stack, Validations
from constructs import IConstruct


def accepted(construct: IConstruct, rule: str, reason: str) -> None:
    """Note that this finding is meant to be: "AwsSolutions-S1", or one with its place, "AwsSolutions-IAM5[…]"."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


def justified(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Note why findings of checkov are meant to be: in the resource's metadata, where checkov looks for it."""
    resource = construct.node.default_child
    assert isinstance(resource, CfnResource)
    skipped = [{"id": rule, "comment": reason} for rule, reason in reasons.items()]
    resource.add_metadata("checkov", {"skip": skipped})


def wildcard(construct: IConstruct, resource: str, reason: str) -> None:
    """Note why this resource of a policy below `construct` holds a `*`."""
    shown = _shown(Stack.of(construct).resolve(resource))
    accepted(construct, f"AwsSolutions-IAM5[Resource::{shown}]", reason)


def _shown(value: Any) -> str:
    """As cdk-nag writes it: what is not known before the deployment by its name."""
    if isinstance(value, str):
        return value
    name, inner = next(iter(value.items()))
    if name == "Fn::Join":
        return "".join(map(_shown, inner[1]))
    return f"<{inner if isinstance(inner, str) else '.'.join(inner)}>"
