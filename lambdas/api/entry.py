"""The Lambda behind `/v1` and `/health`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidemill.aws.world import world
from tidemill_lambdas import api
from tidemill_lambdas.keys.stored import api_keys
from tidemill_lambdas.observe import observed


@observed
def handler(event: Mapping[str, Any], _context: Any) -> dict[str, Any]:
    refusal = api.keyless(event)
    return refusal if refusal is not None else api.handle(event, world(), api_keys())
