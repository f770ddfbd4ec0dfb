"""`tidemill functions validate`: reports every problem of definition files by its path, or what is valid."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.arguments import read_bytes
from tidemill_local.cli.parser import Parser, does, prints_json
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill.core.definition import Definition
    from tidemill.definitions.folder import Read

_EXAMPLE = "tidemill functions validate welcome.function.json"


def fill(parser: Parser) -> None:
    parser.add_argument("files", metavar="FILE", nargs="*", help="a definition, or a folder with *.function.json")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of definitions, for an editor")
    prints_json(parser, "one file a line, with its problems")
    does(parser, _validate, _EXAMPLE)


def _validate(options: Namespace) -> int:
    from tidemill.definitions import folder as definitions

    if options.schema:
        from tidemill.definitions.schema import text

        sys.stdout.write(text())
        return DONE
    if not options.files:
        raise Stop(USAGE, f"functions validate: name the FILEs, as in {_EXAMPLE}")
    files = [file for given in options.files for file in _files(given)]
    for file in files:
        read_bytes(str(file))  # a missing folder is not a problem of a definition
    found = definitions.one_of_each(definitions.read_file(file) for file in dict.fromkeys(files))
    for read in found:
        print(_line(read) if options.json else _said(read))
    return FAILED if any(read.problems for read in found) else DONE


def _files(given: str) -> list[Any]:
    from tidemill.definitions import folder as definitions
    from tidemill_local.cli import text

    files = definitions.find(given)
    if not files:
        raise Stop(
            USAGE, f"{text.clean(given)} holds no *{definitions.ENDING}; name a file, or the folder that they are in"
        )
    return files


def _line(read: Read) -> str:
    from tidemill_local.cli import text

    fact = {
        "file": str(read.file),
        "id": None if read.definition is None else read.definition.spec.id,
        "valid": read.definition is not None,
        "problems": [dict(zip(("path", "message"), problem.split(": ", 1), strict=True)) for problem in read.problems],
    }
    return text.compact(fact)


def _said(read: Read) -> str:
    from tidemill_local.cli import text

    if read.definition is None:
        return "\n".join(text.clean(f"{read.file}: {problem}") for problem in read.problems)
    return text.clean(f"{read.file}: {read.definition.spec.id} is right: {_contents(read.definition)}")


def _contents(definition: Definition) -> str:
    from tidemill.model import CronTrigger

    count = len(definition.steps)
    triggers = definition.spec.triggers
    names = [f"cron {one.cron}" if isinstance(one, CronTrigger) else one.name for one in triggers]
    kinds = sorted({str(step.runtime.__struct_config__.tag) for step in definition.steps})
    return (
        f"{count} step{'s' if count > 1 else ''} ({', '.join(kinds)}), started by {', '.join(names) or 'invoke alone'}"
    )
