"""The cost of the same work on AWS's own orchestrators: each step is a Lambda or a step of one, without events.

Step Functions Standard    a transition a step, and a Lambda invocation a step
Step Functions Express     an execution, its time at 64 MB, and a Lambda invocation a step; five minutes at most
Lambda durable functions   an operation a step and one for the execution, what they write and keep, one SQS trigger
"""

from __future__ import annotations

from collections.abc import Callable

from tidemill_local.cost.data import prices
from tidemill_local.cost.estimate import Line, line
from tidemill_local.cost.usage import Usage

STANDARD = "Step Functions Standard"
EXPRESS = "Step Functions Express"
DURABLE = "Lambda durable functions"
_EXPRESS_GB = 64 / 1_024
_EXPRESS_STEP_MS = 20  # duration of an Express workflow's state besides its Lambda
_OPERATION_BYTES = 1_000
_TRIGGER_REQUESTS = 3  # SQS: send, receive, delete


def beside(usage: Usage) -> dict[str, list[Line]]:
    """By name, the lines of the same runs elsewhere."""
    ways: dict[str, Callable[[str, Usage, float], list[Line]]] = {
        EXPRESS: _express, DURABLE: _durable, STANDARD: _standard,
    }  # fmt: skip
    runs = usage.runs + usage.ticks
    return {name: [*way(name, usage, runs), _code(name, usage, runs)] for name, way in ways.items()}


def _standard(name: str, usage: Usage, runs: float) -> list[Line]:
    steps = runs * usage.steps
    return [line(name, "standard-transitions", steps), line(name, "lambda-requests", steps)]


def _express(name: str, usage: Usage, runs: float) -> list[Line]:
    seconds = usage.steps * (usage.duration_ms + _EXPRESS_STEP_MS) / 1_000
    return [
        line(name, "express-requests", runs),
        line(name, "express-gb-s", runs * seconds * _EXPRESS_GB),
        line(name, "lambda-requests", runs * usage.steps),
    ]


def _durable(name: str, usage: Usage, runs: float) -> list[Line]:
    operations = runs * (usage.steps + 1)
    gb = operations * _OPERATION_BYTES / 1e9
    return [
        line(name, "durable-operations", operations),
        line(name, "durable-gb", gb),
        line(name, "durable-gb-month", gb),
        line(name, "lambda-requests", runs),
        line(name, "sqs-requests", runs * _TRIGGER_REQUESTS),
    ]


def _code(name: str, usage: Usage, runs: float) -> Line:
    """The cost of the user's code, the same everywhere."""
    gb_s = runs * usage.steps * usage.duration_ms / 1_000 * usage.memory / 1_024
    unit = f"lambda-gb-s-{usage.architecture}"
    return line(name, unit, gb_s, f"{prices().prices[unit].what}, of your own code")
