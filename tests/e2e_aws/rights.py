"""What roles may do, and what they did: policies as they were deployed, calls as the emulator weighed them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from support.emulator import Emulator

RECORDED = Path(__file__).with_name("recorded_calls.json")
_QUEUE = re.compile(r"(?<=:)(tidemill-[a-z0-9]+)-.+?(-dead)?$")  # of a function; the platform's go on with `_`


class Right(NamedTuple):
    """One action on one resource (both may hold `*`) that a Lambda has by its policies, or has made use of."""

    lambda_: (
        str  # "ingest", as it is called without the deployment's name; "app" for every Lambda that carries functions
    )
    action: str
    resource: str


def covers(granted: Right, used: Right) -> bool:
    return granted.lambda_ == used.lambda_ and all(
        fnmatchcase(what, pattern)
        for what, pattern in ((used.action, granted.action), (used.resource, granted.resource))
    )


def granted(emulator: Emulator) -> set[Right]:
    """Every right of every Lambda of a deployment."""
    iam = emulator.client("iam")
    found: set[Right] = set()
    names = lambdas(emulator)
    for function in emulator.client("lambda").list_functions()["Functions"]:
        name, role = names[function["FunctionName"]], function["Role"].rpartition("/")[2]
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert name == "app" or not attached, f"{name} has a policy that is not its own: {attached}"
        for policy in attached:
            if ":aws:policy/" not in policy["PolicyArn"]:
                version = iam.get_policy(PolicyArn=policy["PolicyArn"])["Policy"]["DefaultVersionId"]
                found |= _rights(
                    name,
                    iam.get_policy_version(PolicyArn=policy["PolicyArn"], VersionId=version)["PolicyVersion"][
                        "Document"
                    ],
                )
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            found |= _rights(name, iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"])
    return found


def lambdas(emulator: Emulator) -> dict[str, str]:
    """What each Lambda is, by the name that AWS gave it: the platform's by their handlers, "app" otherwise."""
    functions = emulator.client("lambda").list_functions()["Functions"]
    return {one["FunctionName"]: _what(one["Handler"]) for one in functions}


def _what(handler: str) -> str:
    parts = handler.split(".")
    return parts[1] if parts[0] == "tidemill_lambdas" else "app"


def _rights(name: str, document: Any) -> set[Right]:
    return {Right(name, action, _kind(resource)) for action, resource in _allowed(document)}


def _allowed(document: Any) -> Iterator[tuple[str, str]]:
    document = json.loads(document) if isinstance(document, str) else document
    for statement in _list(document["Statement"]):
        if statement["Effect"] == "Deny":
            continue
        for action in _list(statement["Action"]):
            for resource in _list(statement["Resource"]):
                yield action, resource


def used(emulator: Emulator) -> set[Right]:
    """What the Lambdas called, allowed or not; what differs with every run is a `*`."""
    names = lambdas(emulator)
    return {Right(names[call["lambda"]], call["action"], _kind(call["resource"])) for call in emulator.calls()}


def refused(emulator: Emulator) -> list[dict[str, Any]]:
    return [call for call in emulator.calls() if not call["allowed"]]


def _kind(resource: str) -> str:
    """The resource without what differs with every run: the names of runs and values, the ends of secrets' ARNs, and
    which function's queue it was: whose dead letters the sweep reads, or whose message is late, is a matter of time."""
    service = resource.split(":")[2] if resource.startswith("arn:") else ""
    if service in ("s3", "scheduler") and "/" in resource:
        return resource.rpartition("/")[0] + "/*"
    if service == "secretsmanager":
        named = ":secret:tidemill/" in resource  # else the name is AWS's
        return resource.rpartition("-")[0] + "-*" if named else resource.partition(":secret:")[0] + ":secret:*"
    if service == "sqs":
        return _QUEUE.sub(lambda found: f"{found[1]}-*{found[2] or ''}", resource)
    return resource


def recorded() -> set[Right]:
    """What all stories together called when they were last told in full."""
    data = json.loads(RECORDED.read_text()) if RECORDED.exists() else {}
    return {Right(name, action, resource) for name in data for action in data[name] for resource in data[name][action]}


def record(rights: set[Right]) -> None:
    data: dict[str, dict[str, list[str]]] = {}
    for right in sorted(rights):
        data.setdefault(right.lambda_, {}).setdefault(right.action, []).append(right.resource)
    RECORDED.write_text(json.dumps(data, indent=1) + "\n")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
