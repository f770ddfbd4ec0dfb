"""A Lambda that knows nothing of Tidemill."""

from __future__ import annotations

from typing import Any


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    return {"name": event["event"]["name"], "seen": event["event"]["data"], "by": context.function_name}
