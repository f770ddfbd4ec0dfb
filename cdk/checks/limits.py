"""Compares a template with the limits of CloudFormation and IAM; each problem says what to do.

CloudFormation itself would report one resource, after a quarter of an hour, and roll everything back.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, cast

RESOURCES = 500  # of a stack
OUTPUTS = 200
PARAMETERS = 200
TEMPLATE = 1_000_000  # bytes
ROLE_POLICY = 10_240  # characters of all inline policies of a role
MANAGED_POLICY = 6_144
POLICIES_OF_A_ROLE = 10  # managed ones
ENVIRONMENT = 4_096  # bytes of a Lambda's variables, names and values
PATTERN = 2_048  # characters of a rule's pattern
QUEUE_POLICY = 20_480  # bytes, as of a topic, a bucket and a bus
_NAMES = {
    "AWS::SQS::Queue": ("QueueName", 80),
    "AWS::Lambda::Function": ("FunctionName", 64),
    "AWS::Lambda::Alias": ("Name", 128),
    "AWS::IAM::Role": ("RoleName", 64),
    "AWS::S3::Bucket": ("BucketName", 63),
    "AWS::DynamoDB::Table": ("TableName", 255),
    "AWS::Scheduler::ScheduleGroup": ("Name", 64),
    "AWS::Events::EventBus": ("Name", 256),
    "AWS::Events::Archive": ("ArchiveName", 48),
    "AWS::ECS::TaskDefinition": ("Family", 255),
}
# The longest value of each kind of reference; any other is assumed to be an ARN.
_REFERENCES = {"AWS::Partition": 10, "AWS::Region": 14, "AWS::AccountId": 12, "AWS::URLSuffix": 16}
_ARN = 120


def problems(stack: str, template: Mapping[str, Any]) -> list[str]:
    """A sentence for each limit that the template of this stack exceeds."""
    resources: dict[str, Any] = template.get("Resources", {})
    found = [
        *_counted(stack, template),
        *(problem for name in resources for problem in _measured(f"{stack}/{name}", resources[name])),
        *_roles(stack, resources),
    ]
    return found


def too_many_resources(stack: str, number: int) -> str | None:
    """The sentence, or None if the resources fit."""
    if number <= RESOURCES:
        return None
    stacks = max(4, -(-number // (RESOURCES // 3)))
    return (
        f"the stack {stack} would have {number} resources, and CloudFormation takes {RESOURCES}: set"
        f" tidemill:function_stacks to {stacks} (functions are divided over so many nested stacks), or move apps to"
        " stacks of their own with Tidemill.import_"
    )


def characters(value: Any) -> int:
    """How long a value of a template may become as JSON without spaces, once its references are resolved."""
    return len(json.dumps(_longest(value), separators=(",", ":"), ensure_ascii=False).encode())


def _longest(value: Any) -> Any:
    """The value with each reference replaced by its longest possible text."""
    if isinstance(value, list):
        return [_longest(one) for one in cast("list[Any]", value)]  # type: ignore[redundant-cast]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    if len(fields) == 1:
        name, inner = next(iter(fields.items()))
        if name == "Ref":
            return "x" * _REFERENCES.get(inner, _ARN)
        if name == "Fn::Join":
            return str(inner[0]).join(str(_longest(one)) for one in inner[1])
        if name.startswith("Fn::"):
            return "x" * _ARN
    return {name: _longest(one) for name, one in fields.items()}


def _counted(stack: str, template: Mapping[str, Any]) -> Iterator[str]:
    many = too_many_resources(stack, len(template.get("Resources", {})))
    if many is not None:
        yield many
    for what, most in (("Outputs", OUTPUTS), ("Parameters", PARAMETERS)):
        number = len(template.get(what, {}))
        if number > most:
            yield (
                f"the stack {stack} would have {number} {what.lower()}, and CloudFormation takes {most}: move apps to"
                " stacks of their own with Tidemill.import_"
            )
    size = len(json.dumps(template, separators=(",", ":")).encode())
    if size > TEMPLATE:
        yield (
            f"the template of the stack {stack} would have {size:,} bytes, and CloudFormation takes {TEMPLATE:,}: set"
            " tidemill:function_stacks, or move apps to stacks of their own with Tidemill.import_"
        )


def _measured(path: str, resource: Mapping[str, Any]) -> Iterator[str]:
    kind, properties = resource["Type"], resource.get("Properties", {})
    field, most = _NAMES.get(kind, ("", 0))
    if field in properties and len(str(_longest(properties[field]))) > most:
        yield f"{path}: the name {properties[field]} is longer than the {most} characters that AWS takes; shorten it"
    if kind == "AWS::Lambda::Function":
        variables: dict[str, Any] = properties.get("Environment", {}).get("Variables", {})
        size = sum(len(name.encode()) + len(str(_longest(value)).encode()) for name, value in variables.items())
        if size > ENVIRONMENT:
            largest = max(variables, key=lambda name: len(str(_longest(variables[name]))))
            yield (
                f"{path}: the variables of this Lambda would have {size:,} bytes, and Lambda takes {ENVIRONMENT:,}; the"
                f" largest is {largest}: shorten it, or keep it elsewhere (a parameter, a file of the code)"
            )
    if kind == "AWS::Events::Rule" and "EventPattern" in properties:
        pattern = properties["EventPattern"]
        size = len(pattern) if isinstance(pattern, str) else characters(pattern)
        if size > PATTERN:
            yield f"{path}: its pattern would have {size:,} characters, and EventBridge takes {PATTERN:,}; shorten it"
    if kind == "AWS::IAM::ManagedPolicy":
        size = characters(properties["PolicyDocument"])
        if size > MANAGED_POLICY:
            yield f"{path}: the policy would have {size:,} characters, and IAM takes {MANAGED_POLICY:,}; divide it"
    if kind in ("AWS::SQS::QueuePolicy", "AWS::SNS::TopicPolicy", "AWS::S3::BucketPolicy"):
        size = characters(properties["PolicyDocument"])
        if size > QUEUE_POLICY:
            yield f"{path}: the policy would have {size:,} bytes, and AWS takes {QUEUE_POLICY:,}; use fewer statements"


def _roles(stack: str, resources: Mapping[str, Any]) -> Iterator[str]:
    inline, attached = Counter[str](), Counter[str]()
    for name, one in resources.items():
        properties = one.get("Properties", {})
        if one["Type"] == "AWS::IAM::Role":
            inline[name] += sum(characters(each["PolicyDocument"]) for each in properties.get("Policies", ()))
            attached[name] += len(properties.get("ManagedPolicyArns", ()))
        elif one["Type"] in ("AWS::IAM::Policy", "AWS::IAM::RolePolicy"):
            for role in properties.get("Roles", [properties.get("RoleName")]):
                inline[_role(role)] += characters(properties["PolicyDocument"])
        elif one["Type"] == "AWS::IAM::ManagedPolicy":
            for role in properties.get("Roles", ()):
                attached[_role(role)] += 1
    for role, size in inline.items():
        if size > ROLE_POLICY:
            yield (
                f"{stack}/{role}: the inline policies of this role would have {size:,} characters, and IAM takes"
                f" {ROLE_POLICY:,}: grant by prefix instead of one by one, or by managed policies"
            )
    for role, number in attached.items():
        if number > POLICIES_OF_A_ROLE:
            yield (
                f"{stack}/{role}: this role would have {number} managed policies, and IAM takes {POLICIES_OF_A_ROLE}:"
                " divide what its Lambda does"
            )


def _role(reference: Any) -> str:
    return reference if type(reference) is str else str(reference["Ref"])
