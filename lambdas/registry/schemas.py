"""The custom resource `Custom::TidemillSchema`: the schema of an event's version, as every door knows it.

The physical id names event and version, so that a resource that comes to stand for another version is deleted for the
old one after all else has succeeded. Everything may be asked twice.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

from tidemill.aws.dynamo import schemas
from tidemill.aws.dynamo.table import Table
from tidemill.model import EventSchema
from tidemill_lambdas.registry.refused import Refused

TYPE = "Custom::TidemillSchema"


def handle(event: Mapping[str, Any], table: Table, owner: str) -> str:
    """Do what CloudFormation asks. The resource's physical id. Raises Refused."""
    given = event["ResourceProperties"]
    name, v = str(given["Name"]), str(given["Version"])
    physical = f"schema:{name}:{v}"
    owner = f"{owner}:{v}"
    if event["RequestType"] == "Delete":
        if event["PhysicalResourceId"] == physical:  # else it never came into being
            schemas.withdraw(table, name, owner)
        return str(event["PhysicalResourceId"])
    text = zlib.decompress(base64.b64decode(given["Schema"])).decode()
    problem = schemas.declare(table, [EventSchema(name, v, text)], owner)
    if problem is not None:
        raise Refused(problem)
    return physical
