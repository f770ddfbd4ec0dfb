"""Planned calls that do not exist yet: each answers with an error that says so."""

from __future__ import annotations

from tidemill_lambdas.http import Refused, Response
from tidemill_lambdas.router import Call


def cancellations(_call: Call) -> Response:
    raise Refused(501, "bulk cancellation does not exist yet; cancel runs one by one with DELETE /v1/runs/{id}")


def replays(_call: Call) -> Response:
    raise Refused(501, "bulk replay does not exist yet; run again one by one with POST /v1/runs/{id}/rerun")
