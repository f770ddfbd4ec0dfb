"""Answers that stay within what a Lambda may give back: a page ends sooner, and says where to go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from tidemill.core.view_values import View
from tidemill.limits import ANSWER_BYTES, KIB, VALUE_INLINE
from tidemill_lambdas.http import Response, respond

INLINES = (VALUE_INLINE, KIB, 0)  # a value with more bytes is only named; less and less, where the whole is too large
_T = TypeVar("_T")
_encode = msgspec.json.Encoder().encode


def page(found: Sequence[_T], limit: int, view: Callable[[_T], View], cursor: Callable[[_T], str]) -> Response:
    """The first of what was `found`: at most `limit`, and at least one, as long as their views fit into one answer.

    `cursor`: by which the page after this one is asked for.
    """
    shown = fitting(view(each) for each in found[:limit])
    more = len(shown) < len(found)
    return respond(200, {"data": shown, "cursor": cursor(found[len(shown) - 1]) if more else None})


def fitting(views: Iterable[View]) -> list[msgspec.Raw]:
    shown: list[msgspec.Raw] = []
    left = ANSWER_BYTES - KIB
    for view in views:
        row = _encode(view)
        left -= len(row) + 1
        if shown and left < 0:
            break
        shown.append(msgspec.Raw(row))
    return shown


def shrunk(view: Callable[[int], Any]) -> bytes:
    """The first view that fits into one answer, encoded: its parameter is how large a value it may show."""
    body = b""
    for inline in INLINES:
        body = _encode({"data": view(inline)})
        if len(body) <= ANSWER_BYTES:
            break
    return body
