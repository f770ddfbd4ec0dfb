"""What CloudFormation and IAM refuse and the emulator does not, so that what deploys here deploys there.

a null in a template           the template is not taken
an empty list in a pattern     what is left where a null was dropped: EventBridge takes no rule with it
inline policies of a role      10,240 characters in all, as they are once everything is known
a managed policy               6,144 characters
a kept resource                one that is `Retain` stays through the rollback of its own creation, in the way of
                               the next attempt under the same name
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

INLINE, MANAGED = 10_240, 6_144


def refused(template: dict[str, Any]) -> list[str]:
    """What AWS would say of a template before it makes anything, or after it could not."""
    found = [f"[{place}] 'null' values are not allowed in templates" for place in _nulls(template, "")]
    for name, one in template["Resources"].items():
        pattern = one.get("Properties", {}).get("EventPattern")
        if pattern is not None:
            parsed = json.loads(pattern) if isinstance(pattern, str) else pattern
            found += [f"{name}: Event pattern is not valid. Reason: Empty arrays are not allowed"] * _holds_empty(
                parsed
            )
        if one.get("DeletionPolicy") == "Retain" and _is_named(one):
            found.append(f"{name} is kept through the rollback of its own creation, and its name is taken ever after")
    return found


def policies_refused(iam: Any) -> list[str]:
    """Of all roles of an account, by what their policies are now."""
    found: list[str] = []
    for role in iam.list_roles()["Roles"]:
        name = role["RoleName"]
        inline = [
            iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        size = sum(map(_characters, inline))
        if size > INLINE:
            found.append(f"Maximum policy size of {INLINE} bytes exceeded for role {name}: {size}")
    for policy in iam.list_policies(Scope="Local")["Policies"]:
        version = iam.get_policy_version(PolicyArn=policy["Arn"], VersionId=policy["DefaultVersionId"])
        size = _characters(version["PolicyVersion"]["Document"])
        if size > MANAGED:
            found.append(f"Cannot exceed quota for PolicySize: {MANAGED} ({policy['PolicyName']}: {size})")
    return found


def _characters(document: Any) -> int:
    parsed = json.loads(unquote(document)) if isinstance(document, str) else document
    return len(json.dumps(parsed, separators=(",", ":")))


def _nulls(value: Any, place: str) -> Iterator[str]:
    if value is None:
        yield place
    elif isinstance(value, (dict, list)):
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for name, one in entries:
            yield from _nulls(one, f"{place}/{name}")


def _holds_empty(pattern: Any) -> bool:
    if isinstance(pattern, list):
        return not pattern or any(map(_holds_empty, pattern))
    return isinstance(pattern, dict) and any(map(_holds_empty, pattern.values()))


def _is_named(resource: dict[str, Any]) -> bool:
    fields = ("TableName", "BucketName", "QueueName", "LogGroupName", "Name", "RoleName", "FunctionName")
    return any(field in resource.get("Properties", {}) for field in fields)
