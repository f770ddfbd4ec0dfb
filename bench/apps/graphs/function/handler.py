"""The same as program/step.sh, as a Lambda."""

import os
from typing import Any


def handler(event: dict[str, Any], context: object) -> dict[str, bool]:  # noqa: ARG001  Lambda gives it
    if event["ctx"]["step_id"] == "c":
        with open(os.environ["BENCH_MARKS"], "a") as marks:
            marks.write(f"e {event['event']['data']['k']} 0 {os.getpid()}\n")
    return {"done": True}
