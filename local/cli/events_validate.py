"""`tidemill events validate`: what is wrong with events before they are sent, each problem by its path."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.parser import Parser, does, prints_json
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill.model import Event

_NOW = 2**52  # an event's ts is not judged here


def fill(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", help="events: one, an array, or one a line; - reads standard input")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help="what declares the schemas; none: as tidemill dev")
    prints_json(parser, "one problem a line")
    does(parser, _validate, "tidemill events validate events.ndjson")


def _validate(options: Namespace) -> int:
    from tidemill_local.cli import text

    registry = _registry(tuple(options.targets))
    found = [problem for number, event in _events(options.file) for problem in _problems(registry, number, event)]
    for problem in found:
        where = ".".join(map(str, problem["loc"])) or "the event"
        line = f"{options.file}: event {problem['index']}: {where}: {problem['msg']}"
        print(text.compact(problem) if options.json else text.clean(line))
    if not found and not options.json:
        print(text.clean(f"{options.file}: every event fits"))
    return FAILED if found else DONE


def _registry(targets: tuple[str, ...]) -> Any:
    from tidemill_local.load import mistakes
    from tidemill_local.load import targets as loading
    from tidemill_local.server.registry import LocalRegistry

    cwd = Path.cwd()
    registry = LocalRegistry()
    try:
        registry.replace((), "", _schemas(targets, cwd, loading))
    except (Exception, SystemExit) as error:
        raise Stop(mistakes.code(error), mistakes.explain(error, cwd)) from None
    return registry


def _schemas(targets: tuple[str, ...], cwd: Path, loading: Any) -> Any:
    """Of the targets; where none is named and none is there, of the folder `events/` alone."""
    from tidemill_local.load import events

    try:
        return loading.load(targets, cwd).schemas
    except loading.TargetError:
        folders = events.folders([cwd])
        if targets or not folders:
            raise
        return events.declared((), folders)[0]


def _events(file: str) -> list[tuple[int, Any]]:
    from tidemill_local.cli.arguments import json_value, parse, read_file, read_text

    text = read_text(sys.stdin.buffer.read(), "standard input") if file == "-" else read_file(file)
    try:
        whole = parse(text)
    except ValueError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2:
            json_value(text, file)
        return [(number, json_value(line, f"{file}, event {number}")) for number, line in enumerate(lines)]
    if not isinstance(whole, list):
        return [(0, whole)]
    return list(enumerate(whole))  # pyright: ignore[reportUnknownArgumentType]


def _problems(registry: Any, number: int, event: Any) -> list[dict[str, Any]]:
    from tidemill.engine.intake.fit import fitting
    from tidemill.errors import EventError
    from tidemill_lambdas.http import Refused
    from tidemill_lambdas.ingest import refuse

    try:
        (checked,) = refuse.checked(event, _NOW)
        fitting(registry, [_as_event(checked)])
    except (Refused, EventError) as error:
        errors = list(error.errors or ()) or [{"loc": (), "msg": str(error)}]
        return [{**each, "index": number, "loc": list(each["loc"])} for each in errors]
    except ValueError as error:
        raise Stop(USAGE, str(error)) from None
    return []


def _as_event(sent: dict[str, Any]) -> Event:
    from tidemill.model import Event

    return Event(sent.get("id", ""), sent["name"], sent.get("data", {}), 0, 0, sent.get("user"), sent.get("v"))
