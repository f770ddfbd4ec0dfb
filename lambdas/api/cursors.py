"""Cursors: the end of a page. They are opaque to callers, and valid only for the list and filters that gave them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping

import msgspec

from tidemill_lambdas.http import Refused

_PAGING = ("limit", "cursor")
_MOST = 2**53
_decoder = msgspec.json.Decoder(tuple[str, int, str])


def write(of: str, query: Mapping[str, str], at: int, id: str) -> str:
    """The cursor of a page of the list `of` whose last row was created `at` and has this `id`."""
    content = msgspec.json.encode((_digest(of, query), at, id))
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def read(of: str, query: Mapping[str, str]) -> tuple[int, str] | None:
    """The end of the page before. Raises Refused unless this list with these filters gave the cursor."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        digest, at, id = _decoder.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, msgspec.DecodeError):
        digest, at, id = "", 0, ""
    if digest != _digest(of, query) or not 0 <= at <= _MOST or write(of, query, at, id) != text:
        raise Refused(400, "this cursor is of another list or other filters; take it from this list's last answer")
    return at, id


def _digest(of: str, query: Mapping[str, str]) -> str:
    filters = sorted((name, value) for name, value in query.items() if name not in _PAGING)
    return hashlib.sha256(msgspec.json.encode((of, filters))).hexdigest()[:12]
