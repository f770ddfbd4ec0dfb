"""The calls about the server: its health, its version, its OpenAPI document."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tidemill_lambdas.http import Response, raw, respond
from tidemill_lambdas.router import Call


def health(_call: Call) -> Response:
    return respond(200, {"status": "ok", "version": version()})


def openapi(_call: Call) -> Response:
    return raw(200, document())


@cache
def document() -> bytes:
    """The OpenAPI document that describes every call."""
    return Path(__file__).with_name("openapi.json").read_bytes()


@cache
def version() -> str:
    """The installed version; "unknown" if the code is not installed."""
    from importlib import metadata  # imported late: heavy, for a rare call

    try:
        return metadata.version("tidemill")
    except metadata.PackageNotFoundError:
        return "unknown"
