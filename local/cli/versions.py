"""`tidemill versions check`: whether the runs that there are survive new code, before it is deployed."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser, asks, count, group, prints_json
from tidemill_local.cli.stop import DONE, FAILED
from tidemill_local.console.terminal import clean

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.check.check import Check, Finding
    from tidemill_local.cli.http import Api

_EXAMPLE = "tidemill versions check app.py --url http://127.0.0.1:8288"


def fill(parser: Parser) -> None:
    add = group(parser, _EXAMPLE)
    check = add("check", "replay the journals of open and of the newest ended runs against this code")
    check.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="module:app, a .py file, or a folder; none: what [tool.tidemill] targets of pyproject.toml names, else .",
    )
    check.add_argument("--last", type=count, default=1_000, metavar="N", help="how many ended runs, the newest (1000)")
    check.add_argument("--strict", action="store_true", help="fail for ended and unjudged runs, too")
    prints_json(check, "one finding a line")
    asks(check, _check, _EXAMPLE)


def _check(options: Namespace, server: Api) -> int:
    from tidemill_local.check.check import Check
    from tidemill_local.check.pair import Pair

    began, count, fails = time.monotonic(), 0, False
    pair = Pair(tuple(options.targets))
    try:
        check = Check(server, pair, options.last)
        for finding in check.findings():
            count += 1
            fails = fails or options.strict or (finding.open and finding.kind != "unjudged")
            print(_line(finding) if options.json else _said(finding), flush=True)
    finally:
        pair.close()
    print(_summary(check, count, time.monotonic() - began), file=sys.stderr)
    for id, needed in sorted(check.changes.items()):
        if not needed:
            print(clean(f"ctx.patched({id!r}) is needed by no open run any more"), file=sys.stderr)
    return FAILED if fails else DONE


def _line(finding: Finding) -> str:
    from tidemill_local.cli import text

    return text.compact({name: fact for name, fact in finding._asdict().items() if name not in ("place", "open")})


def _said(finding: Finding) -> str:
    from tidemill_local.cli import text

    at = f" at {finding.place}" if finding.place else ""
    state = "open" if finding.open else "ended"
    where = f"{finding.function_id}, run {finding.run_id} ({state})"
    return text.clean(f"{finding.kind}: {where}: the journal has {finding.expected}, the code {finding.found}{at}")


def _summary(check: Check, findings: int, seconds: float) -> str:
    what = "1 finding" if findings == 1 else f"{findings or 'no'} findings"
    return f"{check.runs} runs replayed, {check.open} of them open, in {seconds:.1f} s: {what}"
