"""Checks CloudFormation's limits in every synth: the number of resources before the templates are written, because the
CDK stops at 500 without advice; the others in the templates, the user's own resources included."""

# jsii recognizes an implementation of its interfaces only by a decorator.
# pyright: reportArgumentType=false

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import (
    CfnResource,
    IPolicyValidationContext,
    IPolicyValidationPlugin,
    PolicyValidationPluginReport,
    PolicyViolatingResource,
    PolicyViolation,
    Stack,
    Validations,
)
from constructs import Construct, IValidation

from tidemill_cdk.checks.limits import problems, too_many_resources

_ID = "TidemillLimits"


def watch(construct: Construct) -> None:
    """Count the stack of this construct, with what is nested in it; a stack is counted once."""
    stack = Stack.of(construct)
    if stack.node.try_find_child(_ID) is not None:
        return
    Construct(stack, _ID).node.add_validation(_Resources(stack))
    Validations.of(stack).add_plugins(_Limits())  # type: ignore[arg-type]


@jsii.implements(IValidation)
class _Resources:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def validate(self) -> list[str]:
        resources = [one for one in self._stack.node.find_all() if isinstance(one, CfnResource)]
        counts = Counter(one.stack.node.path for one in resources)
        found = [too_many_resources(path, number) for path, number in counts.items()]
        return [problem for problem in found if problem is not None]


@jsii.implements(IPolicyValidationPlugin)
class _Limits:
    @property
    def name(self) -> str:
        return "Tidemill"

    def validate(self, context: IPolicyValidationContext) -> PolicyValidationPluginReport:
        violations = [one for path in context.template_paths for one in _violations(Path(path))]
        return PolicyValidationPluginReport(success=not violations, violations=violations)


def _violations(path: Path) -> list[PolicyViolation]:
    """The problems of a stack's template, and of its nested templates, which are beside it."""
    name = path.name.partition(".")[0]
    found: list[PolicyViolation] = []
    for each in (path, *sorted(path.parent.glob(f"{name}*.nested.template.json"))):
        template: dict[str, Any] = json.loads(each.read_text())
        where = PolicyViolatingResource(locations=[], resource_logical_id="", template_path=str(path))
        found += [
            PolicyViolation(rule_name="limits", description=problem, violating_resources=[where])
            for problem in problems(each.name.partition(".")[0], template)
        ]
    return found
