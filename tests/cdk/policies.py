"""What policies of a template allow, as IAM evaluates them: a denial counts first, then a permission, else nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

ACCOUNT, REGION = "123456789012", "eu-west-1"
_PSEUDO = {"AWS::Partition": "aws", "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::URLSuffix": "amazonaws.com"}


def resolved(value: Any) -> Any:
    """The value with its references put in: a resource's by its logical id, an ARN's by one that ends in it."""
    if isinstance(value, list):
        return [resolved(one) for one in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        name, inner = next(iter(value.items()))
        if name == "Ref":
            return _PSEUDO.get(inner, f"<{inner}>")
        if name == "Fn::GetAtt":
            return f"<{'.'.join(inner)}>"
        if name == "Fn::Join":
            return str(inner[0]).join(str(resolved(one)) for one in inner[1])
    return {name: resolved(one) for name, one in value.items()}


def statements(document: Any) -> list[dict[str, Any]]:
    found = resolved(json.loads(document) if isinstance(document, str) else document)
    return list(each(found["Statement"]))


def role_statements(template: Any, role: str) -> list[dict[str, Any]]:
    """Of all inline and managed policies of the role with this logical id."""
    found: list[dict[str, Any]] = []
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        for policy in template.of(kind).values():
            if {"Ref": role} in policy.get("Roles", ()):
                found += statements(policy["PolicyDocument"])
    return found


def allows(
    found: list[dict[str, Any]], action: str, resource: str, principal: Mapping[str, str] | None = None, **context: str
) -> bool:
    """Whether the statements allow it. `principal`: {"Service": …} for a resource's policy, None for a role's.
    `context`: condition keys, with `_` for `:` and `/` written out: aws_SourceArn."""
    keys = {name.replace("_", ":", 1): value for name, value in context.items()}
    fitting = [one for one in found if _fits(one, action, resource, principal, keys)]
    return any(one["Effect"] == "Allow" for one in fitting) and not any(one["Effect"] == "Deny" for one in fitting)


def _fits(
    one: Mapping[str, Any], action: str, resource: str, principal: Mapping[str, str] | None, keys: Mapping[str, str]
) -> bool:
    return (
        any(fnmatchcase(action.lower(), pattern.lower()) for pattern in each(one["Action"]))
        and any(fnmatchcase(resource, pattern) for pattern in each(one.get("Resource", "*")))
        and (principal is None or _names(one["Principal"], principal))
        and all(_holds(test, wanted, keys) for test, wanted in one.get("Condition", {}).items())
    )


def _names(written: Any, principal: Mapping[str, str]) -> bool:
    if written == "*" or written == {"AWS": "*"}:
        return True
    return any(value in each(written.get(kind, ())) for kind, value in principal.items())


def _holds(test: str, wanted: Mapping[str, Any], keys: Mapping[str, str]) -> bool:
    quantifier, _, plain = test.rpartition(":")
    for key, values in wanted.items():
        if key not in keys:
            if quantifier == "ForAllValues" or "Not" in plain:
                continue
            return False
        same = any(_same(plain, keys[key], str(value)) for value in each(values))
        if same == ("Not" in plain):
            return False
    return True


def _same(test: str, value: str, pattern: str) -> bool:
    if test.startswith("Bool"):
        return value.lower() == pattern.lower()
    if test.startswith("Arn") or "Like" in test:
        return fnmatchcase(value, pattern)
    return value == pattern


def each(value: Any) -> Iterator[Any]:
    yield from value if isinstance(value, (list, tuple)) else [value]
