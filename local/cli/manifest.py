"""`tidemill manifest`: prints the declarations of apps as JSON, for readers that do not import their code."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser, does
from tidemill_local.cli.stop import DONE, Stop

if TYPE_CHECKING:
    from argparse import Namespace


def fill(parser: Parser) -> None:
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="module:app, a .py file, or a folder; none: what [tool.tidemill] targets of pyproject.toml names, else .",
    )
    parser.add_argument("--all", action="store_true", help="functions, schemas of events and webhooks, as one object")
    does(parser, _manifest, "tidemill manifest app.py")


def _manifest(options: Namespace) -> int:
    import msgspec

    from tidemill.manifest import encode, specs, whole_manifest
    from tidemill_local.load import mistakes, targets

    cwd = Path.cwd()
    try:
        # The user's code may print: that must not get into the JSON.
        with contextlib.redirect_stdout(sys.stderr):
            loaded = targets.load(tuple(options.targets), cwd)
            loaded.functions()
            functions = encode(specs(*loaded.apps))
            manifest = whole_manifest(functions, loaded.schemas, loaded.webhooks()) if options.all else functions
    except (Exception, SystemExit) as error:
        raise Stop(mistakes.code(error), mistakes.explain(error, cwd)) from None
    for note in loaded.notes:
        print(f"tidemill: {note}", file=sys.stderr)
    print(msgspec.json.format(manifest, indent=2).decode())
    return DONE
