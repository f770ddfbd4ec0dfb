"""Paths of requests, and the ids in them, which are decoded exactly once.

An HTTP API passes a decoded path, except `%25`: so `/v1/events/order%2F42` arrives as `/v1/events/order/42`, and the
text between the fixed parts of a route, slashes included, is the id. An id that cannot be sent in this way
(`order/runs` would be the runs of `order`, and text after a `?` is cut off) is sent in the query, with `-` in its place
in the path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from tidemill_lambdas.http import Refused

ELSEWHERE = "-"  # replaces an id that is in the query
_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_NO_TEXT = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")


def handed_over(path: str) -> str:
    """A path as an HTTP API passes it to a Lambda. Escapes that are not UTF-8 stay as they are."""
    return _ESCAPES.sub(_handed, path) if "%" in path else path


def decoded(part: str) -> str:
    """A part of a path, fully decoded. Raises Refused if it is not text."""
    if _NO_TEXT.search(part):
        raise Refused(
            400,
            f"{part[:200]!r} in the path is not UTF-8, percent-encoded; encode the id, or put - in its place and ?id=",
        )
    return part.replace("%25", "%")


def given_id(path: Mapping[str, str], query: Mapping[str, str], name: str) -> str:
    """The id in a call's path, or in `?id=`. Raises Refused if both have one."""
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
