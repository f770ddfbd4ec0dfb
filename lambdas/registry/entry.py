"""The Lambda that CloudFormation asks to write what functions declare; until it is answered a deployment stands."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from tidemill.aws.dynamo import Table
from tidemill.aws.world import client
from tidemill_lambdas.observe import logger, observed
from tidemill_lambdas.registry import Refused, handle, physical_id
from tidemill_lambdas.registry.answer import send


@observed
def handler(event: Mapping[str, Any], _context: Any) -> None:
    table = Table(client(), os.environ["TIDEMILL_TABLE"])
    try:
        send(event, handle(event, table, time.time_ns() // 1_000_000))
    except Refused as refused:
        send(event, physical_id(event), str(refused))
    except Exception as error:
        logger.exception("what a function declares was not written")
        send(event, physical_id(event), f"{type(error).__name__}: {error}; deploy again")
