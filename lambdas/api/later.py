"""Calls that are promised and not there yet: they say so."""

from __future__ import annotations

from tidemill_lambdas.http import Refused, Response
from tidemill_lambdas.router import Call


def cancellations(_call: Call) -> Response:
    raise Refused(501, "bulk cancellation is not there yet; cancel runs one by one with DELETE /v1/runs/{id}")


def replays(_call: Call) -> Response:
    raise Refused(501, "bulk replay is not there yet; run again one by one with POST /v1/runs/{id}/rerun")


def pause(_call: Call) -> Response:
    raise Refused(501, "functions cannot be paused yet; take the function's trigger out of its code instead")
