"""Calls that take long, in parts: a call may be a generator, which yields between its parts and returns its answer.

A server of many callers goes on with the others at each `yield`; a Lambda has one caller, and runs it through.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

from tidemill_lambdas.http import Response

T = TypeVar("T")

Parts = Generator[None, None, T]
Work = Parts[Response]


def run_through(parts: Parts[T]) -> T:
    """Do all parts, one after the other; what they come to."""
    while True:  # ends with the parts
        try:
            next(parts)
        except StopIteration as end:
            result: T = end.value
            return result
