"""`tidemill dev`: everything on this machine."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser, count, does
from tidemill_local.cli.stop import USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace


def fill(parser: Parser) -> None:
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="module:app, a .py file, or a folder; none: what [tool.tidemill] targets of pyproject.toml names, else .",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    parser.add_argument("--port", type=_port, default=8288, metavar="N", help="the port to listen on (8288)")
    parser.add_argument("--data", default=".tidemill", metavar="DIR", help="where everything is kept (.tidemill)")
    parser.add_argument("--concurrency", type=count, default=32, metavar="N", help="how many runs execute at once (32)")
    parser.add_argument("--env-file", metavar="FILE", help="KEY=VALUE lines for the functions (.env, if there is one)")
    parser.add_argument("--durable", action="store_true", help="lose nothing in a power cut either; slower")
    parser.add_argument("--no-reload", action="store_true", help="do not follow changes of the code")
    parser.add_argument("--no-events", action="store_true", help="do not tell of each event that is received")
    parser.add_argument("--replay", metavar="FILE", help="run the code over an exported run instead; serve nothing")
    parser.add_argument("--until", metavar="STEP", help="with --replay: run this step's body really, then stop")
    does(parser, _dev, "tidemill dev app.py --port 8288")


def _dev(options: Namespace) -> int:
    if options.replay is not None:
        from tidemill_local.cli import replay_file

        return replay_file.run(options.replay, tuple(options.targets), options.until)
    if options.until is not None:
        raise Stop(USAGE, "dev: --until stops a replay; name its file as --replay FILE")
    from tidemill_local import dev

    return dev.run(
        dev.DevOptions(
            targets=tuple(options.targets),
            host=options.host,
            port=options.port,
            data=options.data,
            concurrency=options.concurrency,
            env_file=options.env_file,
            durable=options.durable,
            reload=not options.no_reload,
            events=not options.no_events,
        )
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port, a number from 0 (any free one) to 65535")
    return int(text)
