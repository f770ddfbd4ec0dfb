"""`tidemill events export`: history as lines that `tidemill send --file` sends again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from time import sleep
from typing import TYPE_CHECKING, Any

from tidemill_local.cli import text
from tidemill_local.cli.arguments import moment
from tidemill_local.cli.http import MOST, Refusal, Unreachable
from tidemill_local.cli.stop import DONE, FAILED, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api

_FIELDS = ("name", "data", "id", "user", "ts", "v")
_PLATFORM = "tidemill/"  # nobody may send these
_PAUSES = (0.2, 1.0, 3.0)  # seconds, before a page is asked for again


def export(options: Namespace, server: Api) -> int:
    now = text.now_ms()
    since = moment(options.since, now, "--since")
    until = moment(options.until, now, "--until") if options.until is not None else now + 1
    query = {"name": options.name, "order": "oldest", "after": None if since is None else since - 1, "before": until}
    progress = _Progress()
    try:
        for answer in _pages(server, query):
            progress.page(answer)
    except Stop as stop:
        raise Stop(stop.code, f"{stop.sentence}; {progress.so_far()}") from None
    return progress.end()


class _Progress:
    def __init__(self) -> None:
        self._count = 0
        self._last: str | None = None  # when the last event that was written had been received
        self._damaged: list[str] = []

    def page(self, answer: dict[str, Any]) -> None:
        sent = [event for event in answer["data"] if not event["name"].startswith(_PLATFORM)]
        # ASCII: what is written is the same whatever encoding the other side of a pipe expects.
        sys.stdout.write("".join(json.dumps(_sendable(event), separators=(",", ":")) + "\n" for event in sent))
        self._count += len(sent)
        if sent:
            self._last = sent[-1]["received_at"]
        self._damaged += [one["id"] for one in answer.get("damaged", ())]

    def so_far(self) -> str:
        sys.stdout.flush()
        if self._last is None:
            return "nothing was written"
        return f"{self._count:,} events were written; go on with --since {self._last}, some ids may come twice"

    def end(self) -> int:
        if not self._damaged:
            return DONE
        named = ", ".join(self._damaged[:10])
        raise Stop(FAILED, f"{len(self._damaged):,} events cannot be read, and are left out: {named}")


def _sendable(event: dict[str, Any]) -> dict[str, Any]:
    return {field: event[field] for field in _FIELDS if event.get(field) is not None}


def _pages(server: Api, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Page after page; one whose answer is lost is asked for again, for reading changes nothing."""
    cursor = None
    while True:  # ends: each page begins after the one before, and no event is as late as `before`
        answer = _again(server, {**query, "limit": MOST, "cursor": cursor})
        yield answer
        cursor = answer.get("cursor")
        if cursor is None:
            return


def _again(server: Api, query: dict[str, Any]) -> dict[str, Any]:
    for pause in _PAUSES:
        try:
            return server.answer("/v1/events", **query)
        except Unreachable:
            pass
        except Refusal as refusal:
            if refusal.status < 500 and refusal.status != 429:
                raise
        sleep(pause)
    return server.answer("/v1/events", **query)
