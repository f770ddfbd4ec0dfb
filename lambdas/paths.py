"""Paths of requests, and ids in them, which are decoded once and no more.

An HTTP API hands a path over decoded, but for `%25`: so `/v1/events/order%2F42` arrives as `/v1/events/order/42`, and
what stands between the fixed parts of a route, slashes included, is the id. An id that cannot travel so (`order/runs`
would be the runs of `order`, and what follows a `?` is cut off) has `-` in its place, and stands in the query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from tidemill_lambdas.http import Refused

ELSEWHERE = "-"  # in the place of an id that stands in the query
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_NO_TEXT = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")


def handed_over(path: str) -> str:
    """A path as an HTTP API hands it to a Lambda. Escapes that are no UTF-8 stay as they are."""
    return _ESCAPES.sub(_handed, path) if "%" in path else path


def decoded(part: str) -> str:
    """A part of a path as it was handed over, as its sender meant it. Raises Refused where it is no text."""
    if _NO_TEXT.search(part):
        raise Refused(
            400,
            f"{part[:200]!r} in the path is not UTF-8, percent-encoded; encode the id, or put - in its place and ?id=",
        )
    return part.replace("%25", "%")


def given_id(path: Mapping[str, str], query: Mapping[str, str], name: str) -> str:
    """The id that a call is about: from its path, or from `?id=`. Raises Refused where both have one."""
    if "id" not in query:
        return path[name]
    if path[name] != ELSEWHERE:
        raise Refused(400, "there is an id in the path, and another one in ?id=; put - into the path, or drop ?id=")
    return query["id"]


def _handed(escapes: re.Match[str]) -> str:
    try:
        return unquote_to_bytes(escapes[0]).decode().replace("%", "%25")
    except UnicodeDecodeError:
        return escapes[0]
