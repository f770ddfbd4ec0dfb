"""`tidemill invoke`: start one function directly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.parser import Parser, asks, prints_json
from tidemill_local.cli.stop import DONE, FAILED

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api


def fill(parser: Parser) -> None:
    parser.add_argument("function", metavar="FUNCTION", help="the function's id, such as shop.checkout")
    parser.add_argument(
        "data", metavar="JSON", type=str, nargs="?", help="its argument, @file, or - for standard input"
    )
    parser.add_argument("--wait", action="store_true", help="follow the run to its end; 1 if it failed")
    prints_json(parser, 'the id as {"run_id": ...}, with --wait the ended run')
    asks(parser, _invoke, """tidemill invoke shop.checkout '{"order_id": "o1", "total": 40}' --wait""")


def _invoke(options: Namespace, server: Api) -> int:
    from tidemill_local.cli.arguments import json_argument
    from tidemill_local.cli.functions import known
    from tidemill_local.cli.http import part

    body: dict[str, Any] = {}
    if options.data is not None:
        body["data"] = json_argument(options.data, "the JSON argument")
    path = f"/v1/functions/{part(options.function)}/invoke"
    started = known(server, lambda: server.post(path, body), options.function)
    return started_run(options, server, started)


def started_run(options: Namespace, server: Api, started: dict[str, Any]) -> int:
    """The output about a run that this command has started: its id, or with --wait the whole run."""
    if not options.wait:
        print(json.dumps(started) if options.json else started["run_id"])
        return DONE
    from tidemill_local.cli.follow import Pace, failed, follow
    from tidemill_local.cli.screen import Silent, screen
    from tidemill_local.cli.text import compact

    runs = follow(server, [started["run_id"]], Silent() if options.json else screen(), Pace())
    for run in runs if options.json else ():
        print(compact(run))
    return FAILED if failed(runs) else DONE
