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

    lambda_: str  # "ingest", as it is called without the mill's name; "app" for every Lambda that carries functions
    action: str
    resource: str


def covers(granted: Right, used: Right) -> bool:
    return granted.lambda_ == used.lambda_ and all(
        fnmatchcase(what, pattern)
        for what, pattern in ((used.action, granted.action), (used.resource, granted.resource))
    )


def granted(emulator: Emulator, prefix: str) -> set[Right]:
    """Every right of every Lambda of a mill; `prefix`: what the names of the platform's begin with."""
    lambdas, iam = emulator.client("lambda"), emulator.client("iam")
    found: set[Right] = set()
    for function in lambdas.list_functions()["Functions"]:
        name, role = _name(function["FunctionName"], prefix), function["Role"].rpartition("/")[2]
        attached = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
        assert name == "app" or not attached, f"{name} has a policy that is not its own: {attached}"
        for policy in iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
            found |= {Right(name, action, _kind(resource)) for action, resource in _allowed(document)}
    return found


def _allowed(document: Any) -> Iterator[tuple[str, str]]:
    document = json.loads(document) if isinstance(document, str) else document
    for statement in _list(document["Statement"]):
        assert statement["Effect"] == "Allow", statement
        for action in _list(statement["Action"]):
            for resource in _list(statement["Resource"]):
                yield action, resource


def used(emulator: Emulator, prefix: str) -> set[Right]:
    """What the Lambdas called, allowed or not; what differs with every run is a `*`."""
    return {Right(_name(call["lambda"], prefix), call["action"], _kind(call["resource"])) for call in emulator.calls()}


def _name(function: str, prefix: str) -> str:
    return function.removeprefix(prefix) if function.startswith(prefix) else "app"


def refused(emulator: Emulator) -> list[dict[str, Any]]:
    return [call for call in emulator.calls() if not call["allowed"]]


def _kind(resource: str) -> str:
    """The resource without what differs with every run: the names of runs and values, the ends of secrets' ARNs, and
    which function's queue it was: whose dead letters the sweep reads, or whose message is late, is a matter of time."""
    service = resource.split(":")[2] if resource.startswith("arn:") else ""
    if service in ("s3", "scheduler") and "/" in resource:
        return resource.rpartition("/")[0] + "/*"
    if service == "secretsmanager":
        return resource.rpartition("-")[0] + "-*"
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
