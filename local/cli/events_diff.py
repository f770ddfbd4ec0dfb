"""`tidemill events diff`: what changed between two states of the schemas, and whom a breaking change reaches."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tidemill_local.cli.parser import Parser, does, prints_json
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill.schemas.diff import Change, DataPath
    from tidemill_local.load.schemas import Schemas

_PATH = re.compile(r"\b(?:event|async)\.data((?:\s*\.\s*[A-Za-z_]\w*|\[\s*(?:'[^']*'|\"[^\"]*\")\s*\])*)")
_PART = re.compile(r"\.\s*(\w+)|\[\s*(?:'([^']*)'|\"([^\"]*)\")\s*\]")
_WAITING = 1_000  # open runs whose waits are looked at


class Use(NamedTuple):
    """Where somebody looks into an event's data."""

    event: str  # a name, or a pattern with `*`
    path: DataPath
    what: str


def fill(parser: Parser) -> None:
    parser.add_argument("old", metavar="OLD", help="a folder, a file, or ref:path of git")
    parser.add_argument("new", metavar="NEW", help="the same, as it is to be")
    parser.add_argument("--waivers", metavar="F.toml", help="breaking changes that are meant: [[waive]] with a reason")
    parser.add_argument("--url", help="look at the functions and open waits of this deployment")
    key = os.environ.get("TIDEMILL_API_KEY") or ""
    parser.add_argument("--key", type=str, default=key, help="an API key (or TIDEMILL_API_KEY)")
    prints_json(parser, "one change a line")
    does(parser, _diff, "tidemill events diff main:events events")


def _diff(options: Namespace) -> int:
    from tidemill_local.cli import text
    from tidemill_local.load import schemas

    old, new = schemas.read(options.old), schemas.read(options.new)
    waived = _waivers(options.waivers)
    uses = list(_deployed(options)) if options.url else _declared(Path.cwd())
    failed = False
    for event, version, change in _changes(old, new):
        affects = sorted({use.what for use in uses if change.breaking and _touches(use, event, change.data)})
        row = {
            "event": event,
            "version": version,
            "rule": change.rule,
            "path": change.path,
            "breaking": change.breaking,
            "waived": (event, version, change.rule, change.path) in waived,
            "affects": affects,
        }
        failed = failed or (change.breaking and not row["waived"])
        print(text.compact(row) if options.json else text.clean(_line(row)))
    return FAILED if failed else DONE


def _changes(old: Schemas, new: Schemas) -> Iterator[tuple[str, str, Change]]:
    """Each version against itself, and the newest against the former newest."""
    from tidemill.schemas.diff import Change
    from tidemill.schemas.versions import newest, order

    for event in sorted({*old, *new}):
        before, after = old.get(event, {}), new.get(event, {})
        for version in sorted({*before, *after}, key=order):
            if version not in after:
                rule = "version-removed" if after else "event-removed"
                yield event, version, Change(rule, (), (), True)
            elif version in before:
                yield from ((event, version, each) for each in _between(before[version], after[version]))
            else:
                yield event, version, Change("version-added" if before else "event-added", (), (), False)
        if before and after and (latest := newest(after)) not in before:
            former = before[newest(before)]
            yield from ((event, latest, each) for each in _between(former, after[latest]))


def _between(old: Any, new: Any) -> list[Change]:
    import msgspec

    from tidemill.schemas.diff import changes

    return changes(msgspec.json.decode(old.schema), msgspec.json.decode(new.schema))


def _line(row: dict[str, Any]) -> str:
    verdict = "waived" if row["waived"] else "BREAKING" if row["breaking"] else "compatible"
    reaches = f"  reaches {'; '.join(row['affects'])}" if row["affects"] else ""
    return f"{verdict:<10}  {row['event']} {row['version']}  {row['rule']}  {row['path']}{reaches}"


def _entries(found: Any) -> list[Any]:
    """What ought to be a list of tables."""
    return list(found) if isinstance(found, (list, tuple)) else [found]  # pyright: ignore[reportUnknownArgumentType]


def _waivers(file: str | None) -> set[tuple[str, str, str, str]]:
    if file is None:
        return set()
    import tomllib

    from tidemill_local.cli.arguments import read_file

    try:
        found = tomllib.loads(read_file(file)).get("waive", [])
    except tomllib.TOMLDecodeError as error:
        raise Stop(USAGE, f"{file}: {error}") from None
    wanted = ("event", "version", "rule", "path", "reason")
    waived: set[tuple[str, str, str, str]] = set()
    for number, one in enumerate(_entries(found)):
        named = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        missing = [key for key in wanted if not str(named.get(key, "")).strip()]
        if missing:
            which = f"{file}: [[waive]] {number + 1} lacks {', '.join(missing)}"
            raise Stop(USAGE, f"{which}; each names all of {', '.join(wanted)}")
        waived.add((str(named["event"]), str(named["version"]), str(named["rule"]), str(named["path"])))
    return waived


# --- who looks at which part of an event's data ---------------------------------------------------------


def _declared(cwd: Path) -> list[Use]:
    """Of the functions here. Where they cannot be loaded, it is said: nobody can tell then whom a change reaches."""
    import contextlib
    import io

    import msgspec

    from tidemill.manifest import encode, specs
    from tidemill_local.load import mistakes, targets

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            loaded = targets.load((), cwd)
            functions: list[dict[str, Any]] = msgspec.json.decode(encode(specs(*loaded.apps)))
    except (Exception, SystemExit) as error:
        why = mistakes.explain(error, cwd)
        print(
            f"tidemill: whom a change reaches is not known, for the functions here were not loaded: {why}",
            file=sys.stderr,
        )
        return []
    return [use for function in functions for use in _of_function(function)]


def _deployed(options: Namespace) -> Iterator[Use]:
    """Of the functions that are deployed, and of the waits of its open runs."""
    from tidemill_local.cli.http import Api

    with Api(options.url, options.key, "") as server:
        for function in server.get("/v1/functions"):
            yield from _of_function(function)
        for run in server.pages("/v1/runs", _WAITING, status="waiting"):
            yield from _of_waits(server.get(f"/v1/runs/{run['run_id']}"))


def _of_function(function: dict[str, Any]) -> Iterator[Use]:
    names = [one["name"] for one in function["triggers"] if one["type"] == "event"]
    for trigger in function["triggers"]:
        if trigger["type"] == "event":
            yield Use(trigger["name"], (), function["id"])
            yield from _of_expression(trigger["name"], trigger.get("when"), f"{function['id']}: when")
    for name in names:
        for feature, text in _expressions(function.get("flow") or {}):
            yield from _of_expression(name, text, f"{function['id']}: {feature}")
    for cancel in function.get("cancel_on") or ():
        for name in {cancel["name"], *names}:
            yield from _of_expression(name, cancel.get("when"), f"{function['id']}: cancel_on when")
            yield from _of_match(name, cancel.get("match"), f"{function['id']}: cancel_on match")


def _of_waits(run: dict[str, Any]) -> Iterator[Use]:
    """The waits at which the run stands; not those of earlier, which have ended."""
    from tidemill_local.cli.story import rests

    for rest in rests(run).values():
        for wait in rest.get("waits") or ():
            what = f"run {run['run_id']} waits ({rest['step']}):"
            yield from _of_match(wait["name"], wait["match"], f"{what} match")
            yield from _of_expression(wait["name"], wait["when"], f"{what} when")
            if not (wait["match"] or wait["when"]):
                yield Use(wait["name"], (), what.removesuffix(":"))


def _expressions(flow: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for feature, value in flow.items():
        for one in _entries(value):
            key = cast("dict[str, Any]", one).get("key") if isinstance(one, dict) else None
            if isinstance(one, str):
                yield feature, one
            elif isinstance(key, str):
                yield f"{feature} key", key


def _of_expression(event: str, expression: str | None, what: str) -> Iterator[Use]:
    for found in _PATH.finditer(expression or ""):
        path = tuple(next(part for part in parts if part) for parts in _PART.findall(found[1]))
        yield Use(event, path, f"{what} {'.'.join(('event.data', *path))}")


def _of_match(event: str, match: str | None, what: str) -> Iterator[Use]:
    if match and (match == "data" or match.startswith("data.")):
        yield Use(event, tuple(match.split(".")[1:]), f"{what} {match}")


def _touches(use: Use, event: str, data: DataPath) -> bool:
    """Whether the use looks at what changed, at something in it, or at something around it."""
    from tidemill.model import name_matches

    if not name_matches(use.event, event):
        return False
    return all(one == other or "*" in (one, other) for one, other in zip(use.path, data, strict=False))
