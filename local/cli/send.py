"""`tidemill send`: sends an event or a file of events, and with --wait follows their runs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.pacing import speed
from tidemill_local.cli.parser import Parser, asks, count, prints_json
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api


def fill(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the event's name, such as order/placed")
    parser.add_argument(
        "data", metavar="JSON", type=str, nargs="?", help="its data: an object, @file, or - for standard input"
    )
    parser.add_argument("--user", metavar="ID", help="the id of the user who is responsible")
    parser.add_argument("--id", help="an id that makes the event idempotent: sent again, it starts nothing")
    parser.add_argument(
        "--file",
        metavar="F.ndjson",
        help="many events, one JSON object a line (- for standard input); with NAME, lines of data of such events",
    )
    parser.add_argument(
        "--speed", type=speed, metavar="10x|max", help="of a file: as far apart as their ts, 10 times faster (max)"
    )
    parser.add_argument("--from-line", type=count, default=1, metavar="N", help="of a file: begin at this line (1)")
    parser.add_argument("--wait", action="store_true", help="follow the runs it starts to their end; 1 if one failed")
    prints_json(parser, 'the ids as {"ids": [...]}, with --wait the ended runs, one a line')
    asks(parser, _send, """tidemill send order/placed '{"order_id": "o1", "total": 40}' --user u1 --wait""", sends=True)


def _send(options: Namespace, server: Api) -> int:

    ids = _file(options, server) if options.file is not None else [_one(options, server)]
    if options.wait:
        return _watch(options, server, ids)
    if options.json:
        print(json.dumps({"ids": ids}))
    elif options.file is None:
        print(ids[0])
    else:
        print(f"{len(ids):,} events sent")
    return DONE


def _one(options: Namespace, server: Api) -> str:
    from tidemill_local.cli.arguments import json_object

    if options.speed is not None or options.from_line != 1:
        raise Stop(USAGE, "send: --speed and --from-line go with --file")
    if options.name is None:
        raise Stop(USAGE, "send: name the event, or give a --file of events; tidemill send --help shows how")
    event: dict[str, Any] = {"name": options.name}
    if options.data is not None:
        event["data"] = json_object(options.data, "the JSON argument")
    if options.user is not None:
        event["user"] = {"id": options.user}
    if options.id is not None:
        event["id"] = options.id
    return server.send(json.dumps(event).encode())[0]


def _file(options: Namespace, server: Api) -> list[str]:
    from tidemill_local.cli import bulk

    if options.data is not None or options.id is not None:
        given = "--id" if options.data is None else "JSON"
        raise Stop(USAGE, f"send: {given} is for one event; with --file each line says it itself")
    lines = bulk.read(options.file, options.name, options.user, options.from_line)
    return bulk.send(server, lines, options.speed)


def _watch(options: Namespace, server: Api, ids: list[str]) -> int:
    """Follow the runs of each event, in the order of sending."""
    from tidemill_local.cli.follow import Pace, failed, follow, of_event
    from tidemill_local.cli.screen import Silent, screen
    from tidemill_local.cli.text import compact

    ended = bad = 0
    for event_id in ids:
        run_ids = of_event(server, event_id, Pace())
        runs = follow(server, run_ids, Silent() if options.json else screen(), Pace())
        ended, bad = ended + len(runs), bad + sum(failed([run]) for run in runs)
        for run in runs if options.json else ():
            print(compact(run))
        if not runs and not options.json and len(ids) == 1:
            print(f"{event_id} is stored; no function listens for it{_meant(options, server)}")
    if len(ids) > 1 and not options.json:
        print(f"{len(ids):,} events, {ended:,} runs ended, {bad:,} of them not well")
    sys.stdout.flush()
    return FAILED if bad else DONE


def _meant(options: Namespace, server: Api) -> str:
    """The names that functions listen for and that are similar to the one sent."""
    from tidemill_local.cli.meant import meant

    heard = {trigger.get("name") or "" for one in server.get("/v1/functions") for trigger in one["triggers"]}
    return meant(options.name, heard - {options.name}) if options.name else ""
