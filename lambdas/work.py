"""Long calls in parts: a call may be a generator that yields between its parts and returns its answer.

A server of many callers serves the others at each `yield`; a Lambda has one caller, and runs all parts at once.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from tidemill_lambdas.http import Response

T = TypeVar("T")

Parts = Generator[None, None, T]
Work = Parts[Response]


def run_through(parts: Parts[T]) -> T:
    """Run all parts, one after the other, and return the answer."""
    while True:  # terminates with the last part
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result
