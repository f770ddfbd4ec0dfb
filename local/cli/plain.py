"""`python -m tidemill_local.cli.plain`: checks the declaration of a plain handler, and prints its manifest.

The constructs call it, because they import no engine. The input is `{"id", "on", "options"}` as JSON, where a value
that JSON lacks is an object that names its class: `{"$": "Cron", "expr": "0 9 * * *"}`.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, cast

import msgspec

from tidemill import errors
from tidemill.declare.functions import declared
from tidemill.manifest import encode
from tidemill.model import FunctionSpec
from tidemill.sdk import flow, triggers

if TYPE_CHECKING:
    from collections.abc import Iterable

_KINDS: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(flow.Concurrency, flow.Throttle, flow.RateLimit, flow.Debounce, flow.Batch, flow.Singleton),
        *(flow.CancelOn, flow.Timeouts, flow.Backoff, triggers.Cron),
    )
}


def main() -> int:
    given = json.load(sys.stdin)
    try:
        spec = plain_spec(given["id"], _value(given["on"]), _value(given["options"]))
    except errors.DeclarationError as error:
        print(error, file=sys.stderr)
        return 1
    print(encode([spec]).decode())
    return 0


def plain_spec(function_id: str, on: Any, options: dict[str, Any]) -> FunctionSpec:
    """A function outside of any app, with the given id. Raises DeclarationError."""

    def handler(context: Any) -> None:
        """A placeholder for the handler, which is not on this machine."""

    spec = declared(function_id, handler, on, {"name": function_id, **options, "id": function_id}).spec
    return msgspec.structs.replace(spec, id=function_id)


def _value(given: Any) -> Any:
    if isinstance(given, list):
        return [_value(one) for one in cast("Iterable[Any]", given)]
    if not isinstance(given, dict):
        return given
    fields = {name: _value(one) for name, one in cast("dict[str, Any]", given).items()}
    kind = fields.pop("$", None)
    if kind == "Event":
        return triggers.Event(fields["name"], when=fields["when"])
    return _KINDS[kind](**fields) if kind is not None else fields


if __name__ == "__main__":
    sys.exit(main())
