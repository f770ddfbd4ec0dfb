"""Findings of cdk-nag that are meant to be, each noted beside its resource with the reason."""

from __future__ import annotations

from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from constructs import IConstruct


def accepted(construct: IConstruct, rule: str, reason: str) -> None:
    """Note that this finding is meant to be: "AwsSolutions-S1", or one with its place, "AwsSolutions-IAM5[…]"."""
    Validations.of(construct).acknowledge(Acknowledgment(id=rule, reason=reason))


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
