"""`tidemill runs logs`: the lines that the code of a run has logged, page by page; with `--follow` as they come."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tidemill_local.cli import text
from tidemill_local.cli.follow import Pace
from tidemill_local.cli.run_id import asked
from tidemill_local.cli.stop import DONE
from tidemill_local.cli.story import ENDED
from tidemill_local.console.terminal import clean, clean_lines

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from tidemill_local.cli.http import Api

_PAGE = 1_000
_AFTER = 3  # polls after a run's end: on a remote server a line appears a little later


def show(options: Namespace, server: Api) -> int:
    run = asked(server, options.run, server.get)
    tail = _Tail(server, f"/v1/runs/{run['run_id']}/logs")
    _print(options, tail.more())
    pace, after = Pace(), 1 if server.local else _AFTER
    while options.follow and after:
        pace.rest()
        if server.get(f"/v1/runs/{run['run_id']}")["status"] in ENDED:
            after -= 1
        lines = list(tail.more())
        if lines:
            pace.changed()
        _print(options, lines)
    return DONE


class _Tail:
    """A growing log: its last page is read again, without the lines seen before."""

    def __init__(self, server: Api, path: str) -> None:
        self._server = server
        self._path = path
        self._cursor: str | None = None  # of the last page
        self._seen: Counter[str] = Counter()  # of the last page

    def more(self) -> Iterator[dict[str, Any]]:
        while True:  # terminates: each page begins after the one before
            lines, cursor = self._server.page(self._path, limit=_PAGE, cursor=self._cursor)
            yield from self._new(lines)
            if cursor is None:
                self._seen = Counter(map(text.compact, lines))
                return
            self._cursor, self._seen = cursor, Counter()

    def _new(self, lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The new lines of a page; a log may repeat a line, and in AWS a line may be inserted between others."""
        before = self._seen.copy()
        for line in lines:
            said = text.compact(line)
            if before[said]:
                before[said] -= 1
            else:
                yield line


def _print(options: Namespace, lines: Any) -> None:
    for line in lines:
        print(text.compact(line) if options.json else _shown(line), flush=True)


def _shown(line: dict[str, Any]) -> str:
    step = f"  {clean(line['step'])}" if line["step"] is not None else ""
    attempt = f" (attempt {line['attempt']})" if line["attempt"] > 1 else ""
    return f"{line['at'][11:23]}  {line['level']:8}{step}{attempt}  {clean_lines(line['message'])}"
