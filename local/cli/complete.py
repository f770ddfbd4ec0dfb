"""`tidemill __complete WORD …`: prints the completions of the last word, one per line: the word, a tab, its meaning.

Commands, options and choices come from the parsers; functions, events and runs from the server that the other words
or the environment point at, if it answers within a second. It offers only words that a shell takes
without quoting, so that names from elsewhere cannot put a command into the user's line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.parser import DEFAULT_URL
from tidemill_local.cli.stop import DONE, Stop

if TYPE_CHECKING:
    import argparse

    from tidemill_local.cli.http import Api
    from tidemill_local.cli.parser import Parser

    Found = Iterator[tuple[str, str]]

_PATIENCE = 1.0  # seconds
_NEWEST = 30  # runs and events
_PLAIN = re.compile(r"[\w.,@%+/-]+", re.ASCII)  # no `:` or `=`, at which bash begins another word
_STATUSES = ("scheduled", "running", "sleeping", "waiting", "completed", "failed", "cancelled", "skipped")


def show(words: list[str]) -> int:
    from tidemill_local.cli.text import clean

    try:
        for word, said in candidates([word for word in words if word != "="]):
            print(f"{word}\t{clean(said)}")
    except Stop:
        pass  # without a server there are no names
    return DONE


def candidates(words: list[str]) -> Found:
    """The completions of the last word, given those before it."""
    *before, current = words or [""]
    for word, said in _all(before, current):
        if word.startswith(current) and _PLAIN.fullmatch(word):
            yield word, said


def _all(before: list[str], current: str) -> Found:
    from tidemill_local import cli

    if not before:
        yield from cli.VERBS.items()
        return
    if before[0] not in cli.VERBS:
        return
    parser, rest = cli.of_verb(before[0]), before[1:]
    while (commands := parser.commands()) and (chosen := next((word for word in rest if word in commands), None)):
        parser, rest = commands[chosen], rest[rest.index(chosen) + 1 :]
    if parser.commands() and not current.startswith("-"):
        yield from ((name, sub.description or "") for name, sub in parser.commands().items())
        return
    yield from _here(parser, rest, current, before)


def _here(parser: Parser, rest: list[str], current: str, before: list[str]) -> Found:
    """Within a command: an option's value, an option, or the next argument."""
    options = {name: action for action in parser.actions() for name in action.option_strings}
    asked = options.get(rest[-1]) if rest else None
    if asked is not None and asked.nargs != 0:
        yield from _values(asked, before)
    elif current.startswith("-"):
        given = set(rest)
        for name, action in options.items():
            if not given.intersection(action.option_strings) and name != "-h":
                yield name, action.help or ""
    elif (argument := _argument(parser, rest, options)) is not None:
        yield from _values(argument, before)


def _argument(parser: Parser, rest: list[str], options: dict[str, argparse.Action]) -> argparse.Action | None:
    """The argument that comes after those in `rest`."""
    values = 0
    valued = False  # whether the word before is an option that takes the next word
    for word in rest:
        if not valued and not word.startswith("-"):
            values += 1
        valued = word in options and options[word].nargs != 0
    arguments = [action for action in parser.actions() if not action.option_strings]
    return arguments[min(values, len(arguments) - 1)] if arguments and _more(arguments, values) else None


def _more(arguments: list[argparse.Action], values: int) -> bool:
    return values < len(arguments) or arguments[-1].nargs in ("*", "+")


def _values(action: argparse.Action, before: list[str]) -> Found:
    if action.choices:
        yield from ((str(choice), "") for choice in action.choices)
    elif action.dest == "status":
        yield from ((status, "") for status in _STATUSES)
    elif (named := _NAMES.get(action.dest)) is not None:
        from tidemill_local.cli.http import Api

        with Api(_url(before), os.environ.get("TIDEMILL_API_KEY") or "", timeout=_PATIENCE) as server:
            yield from named(server)


def _url(before: list[str]) -> str:
    after = (before[at + 1] for at, word in enumerate(before[:-1]) if word == "--url")
    return next(after, "") or os.environ.get("TIDEMILL_URL") or DEFAULT_URL


def _functions(server: Api) -> Found:
    for function in server.get("/v1/functions"):
        yield function["id"], _starts(function)


def _starts(function: dict[str, Any]) -> str:
    return ", ".join(trigger.get("name") or f"cron {trigger.get('cron')}" for trigger in function["triggers"])


def _names(server: Api) -> Found:
    """The names of the events that functions listen for."""
    found: dict[str, list[str]] = {}
    for function in server.get("/v1/functions"):
        for trigger in function["triggers"]:
            if trigger.get("name") and not trigger["name"].endswith("*"):
                found.setdefault(trigger["name"], []).append(function["id"])
    yield from ((name, "starts " + ", ".join(ids)) for name, ids in sorted(found.items()))


def _events(server: Api) -> Found:
    yield from ((event["id"], event["name"]) for event in server.pages("/v1/events", _NEWEST))


def _runs(server: Api) -> Found:
    from tidemill_local.cli.run_id import SHORT

    for run in server.pages("/v1/runs", _NEWEST):
        yield run["run_id"][-SHORT:], f"{run['function_id']}, {run['status']}"


_NAMES: dict[str, Callable[[Api], Found]] = {
    "function": _functions,
    "name": _names,
    "event": _events,
    "run": _runs,
}
