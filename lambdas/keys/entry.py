"""The Lambda that rotates keys: Secrets Manager's four steps of a rotation, each harmless to do twice.

The reader of the keys accepts the current version and the one before it, so no other
system has to learn of a new key: it is valid from the moment it is current, and the old one until the next rotation.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any

from tidemill.aws.calls.client import AwsError, Client
from tidemill.aws.world import client
from tidemill_lambdas.observe import logger, observed

KEY_BYTES = 32
_SERVICE = "secretsmanager"


@observed
def handler(event: Mapping[str, Any], _context: Any) -> None:
    rotate(client(), event["Step"], event["SecretId"], event["ClientRequestToken"])


def rotate(
    client: Client, step: str, secret: str, version: str, new_key: Callable[[int], str] = secrets.token_urlsafe
) -> None:
    """One step of the rotation of this secret to this version. Raises ValueError for another step or version."""
    stages = client.call(_SERVICE, "DescribeSecret", {"SecretId": secret}).get("VersionIdsToStages", {})
    mine = stages.get(version)
    if mine is None:
        raise ValueError(f"the secret {secret} has no version {version}; rotations are started by Secrets Manager")
    if "AWSCURRENT" in mine:
        return
    if step == "createSecret":
        _create(client, secret, version, new_key)
    elif step == "testSecret":
        _test(_pending(client, secret, version))
    elif step == "finishSecret":
        _finish(client, secret, version, stages)
    elif step != "setSecret":
        raise ValueError(f"{step!r} is no step of a rotation")


def _create(client: Client, secret: str, version: str, new_key: Callable[[int], str]) -> None:
    try:
        _pending(client, secret, version)
    except AwsError as error:
        if error.code != "ResourceNotFoundException":
            raise
        body = {
            "SecretId": secret,
            "ClientRequestToken": version,
            "SecretString": new_key(KEY_BYTES),
            "VersionStages": ["AWSPENDING"],
        }
        client.call(_SERVICE, "PutSecretValue", body)


def _pending(client: Client, secret: str, version: str) -> str:
    body = {"SecretId": secret, "VersionId": version, "VersionStage": "AWSPENDING"}
    return str(client.call(_SERVICE, "GetSecretValue", body)["SecretString"])


def _test(key: str) -> None:
    """A key must be unguessable, and valid in a path and a header without quoting."""
    if len(key) < KEY_BYTES or not key.isascii() or not key.replace("-", "").replace("_", "").isalnum():
        raise ValueError("the new key is not of letters, digits, - and _, or too short; start the rotation again")


def _finish(client: Client, secret: str, version: str, stages: Mapping[str, list[str]]) -> None:
    current = next((each for each, labels in stages.items() if "AWSCURRENT" in labels), None)
    body: dict[str, Any] = {"SecretId": secret, "VersionStage": "AWSCURRENT", "MoveToVersionId": version}
    if current is not None:
        body["RemoveFromVersionId"] = current
    client.call(_SERVICE, "UpdateSecretVersionStage", body)
    logger.info("a new key is good; the one before it stays good until the next rotation", extra={"secret": secret})
