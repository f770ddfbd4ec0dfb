"""Ids that an event may have and a path may not carry: one table, read back locally and in the emulated account."""

from __future__ import annotations

from urllib.parse import quote

IN_A_PATH = ("order/42", "a b", "é", "日本/🚢", "a+b", "a#b&c=d", "a:b@c", "~x_-.", "/", "a//b", "-")
ELSEWHERE = (
    "order/runs",
    "runs",
    "a?b",
    "50%",
    "%2F",
    "a%2Fb",
    "a%25b",
    "%zz",
    "..",
    ".",
    "a/../b",
    "a/",
    "/runs",
    '"\\',
)


def in_a_path(event_id: str, what: str = "") -> str:
    return f"/v1/events/{quote(event_id, safe='')}{what}"


def in_the_query(event_id: str, what: str = "") -> str:
    return f"/v1/events/-{what}?id={quote(event_id, safe='')}"
