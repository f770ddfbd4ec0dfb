"""`tidemill cost`: estimates the cost of an app in AWS, line by line, before it is deployed."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill_local.cli import text
from tidemill_local.cli.parser import Parser, count, does, prints_json
from tidemill_local.cli.stop import DONE, Stop

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable

    from tidemill.model import FunctionSpec
    from tidemill_local.cost.estimate import Line
    from tidemill_local.cost.usage import Usage

_FURTHER = {
    "short sleep": "a sleep of up to 15 minutes",
    "long sleep": "a longer one, however long",
    "wait": "a wait, resolved by an event (the event itself not counted)",
    "send_event": "an event sent by a step (what it starts not counted)",
    "invoke": "an invoke, with the run that it starts",
    "retry": "a failed attempt, tried again after more than a moment",
}


def fill(parser: Parser) -> None:
    parser.add_argument(
        "targets",
        metavar="TARGET",
        nargs="*",
        help="module:app, a .py file, or a folder; none: what [tool.tidemill] targets of pyproject.toml names, else .",
    )
    parser.add_argument("--events-per-month", type=_number, required=True, metavar="N", help="how many events come in")
    parser.add_argument("--steps", type=_number, default=5, metavar="N", help="steps of a run (5)")
    parser.add_argument("--duration-ms", type=_number, default=100, metavar="N", help="how long a step takes (100)")
    parser.add_argument("--memory", type=_memory, default=256, metavar="MB", help="memory of the app's Lambda (256)")
    parser.add_argument(
        "--architecture", choices=("arm64", "x86_64"), default="arm64", help="of the app's Lambda (arm64)"
    )
    prints_json(parser, "one object with the usage, all lines and their totals")
    does(parser, _cost, "tidemill cost app.py --events-per-month 1000000")


def _cost(options: Namespace) -> int:
    from msgspec.structs import replace

    from tidemill_local.cost import usage
    from tidemill_local.cost.beside import beside
    from tidemill_local.cost.estimate import estimate

    specs, secrets, schemas = _declared(options)
    month = usage.of_manifest(
        specs,
        options.events_per_month,
        options.steps,
        options.duration_ms,
        options.memory,
        options.architecture,
    )
    month = replace(month, secrets=secrets, schemas=schemas)
    lines, others = estimate(month), beside(month)
    if options.json:
        print(text.compact(_object(month, lines, others)))
    else:
        print(_page(month, lines, others))
    return DONE


def _declared(options: Namespace) -> tuple[list[FunctionSpec], int, int]:
    """The functions, how many secrets the webhooks have, and how many names of events have schemas."""
    from tidemill.manifest import specs
    from tidemill_local.load import mistakes, targets

    cwd = Path.cwd()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the user's code may print: keep that out of the answer
            loaded = targets.load(tuple(options.targets), cwd)
            loaded.functions()
            found = specs(*loaded.apps)
            secrets = {webhook.secret for webhook in loaded.webhooks()}
            schemas = {schema.name for schema in loaded.schemas}
    except (Exception, SystemExit) as error:
        raise Stop(mistakes.code(error), mistakes.explain(error, cwd)) from None
    for note in loaded.notes:
        print(f"tidemill: {note}", file=sys.stderr)
    return found, len(secrets), len(schemas)


def _object(month: Usage, lines: list[Line], others: dict[str, list[Line]]) -> dict[str, Any]:
    import msgspec

    from tidemill_local.cost.data import prices
    from tidemill_local.cost.estimate import SECTIONS, total

    totals = {name: total(one for one in lines if one.section == name) for name in SECTIONS}
    shown: dict[str, Any] = msgspec.to_builtins(
        {
            "prices": {"region": prices().region, "date": prices().date},
            "usage": month,
            "lines": lines,
            "totals": totals,
            "total": total(lines),
            "beside": {name: {"lines": these, "total": total(these)} for name, these in others.items()},
            "further_per_million": _further(month),
        }
    )
    return shown


def _page(month: Usage, lines: list[Line], others: dict[str, list[Line]]) -> str:
    """The page of the estimate. The total comes last, because a terminal shows the end of a page."""
    from tidemill_local.cli.table import table
    from tidemill_local.cost.estimate import SECTIONS, total

    parts: list[str] = []
    for section in SECTIONS:
        these = [one for one in lines if one.section == section]
        parts.append(f"{section}: ${total(these):,.2f}\n{_table(these)}")
    further = [(_FURTHER[name], f"${usd:,.2f}") for name, usd in _further(month).items()]
    parts.append(
        "What else a run may do, for every million times:\n"
        + table(("WHAT", "$"), further, "  ", wrap=("WHAT",), right=("$",))
    )
    parts += [f"Not counted: {note}." for note in month.notes]
    if month.runs + month.ticks:
        rows = [(name, f"${total(these):,.2f}") for name, these in others.items()]
        parts.append(
            "The same runs elsewhere, without events:\n"
            + table(("WHERE", "$ A MONTH"), rows, "  ", wrap=("WHERE",), right=("$ A MONTH",))
        )
    return "\n\n".join([*parts, _sum(month, lines)])


def _sum(month: Usage, lines: list[Line]) -> str:
    from tidemill_local.cost.data import prices
    from tidemill_local.cost.estimate import EVENTS, RUNS, idle_per_function, total

    worked = total(one for one in lines if one.section in (RUNS, EVENTS))
    return (
        f"{month.events:,} events and {month.runs + month.ticks:,.0f} runs a month, each of {month.steps} steps of "
        f"{month.duration_ms:g} ms at {month.memory} MB ({month.architecture}).\n"
        f"{prices().region}, prices of {prices().date}, no free tier taken off.\n\n"
        f"In all: ${total(lines):,.2f} a month, of which runs and their events ${worked:,.2f}.\n"
        f"One more function costs ${idle_per_function():.2f} while idle."
    )


def _further(month: Usage) -> dict[str, float]:
    from tidemill_local.cost.estimate import per_million

    return {name: per_million(name, month.memory, month.architecture) for name in _FURTHER}


def _table(lines: Iterable[Line]) -> str:
    from tidemill_local.cli.table import table

    rows = [(one.service, _amount(one.count), _price(one), f"{one.usd:,.2f}", one.what) for one in lines]
    header = ("SERVICE", "COUNT", "$ EACH", "$", "OF WHAT")
    return table(header, rows, "  ", wrap=("OF WHAT",), right=("COUNT", "$ EACH", "$"))


def _amount(count: float) -> str:
    return f"{count:,.0f}" if count >= 100 else f"{count:,.2f}"


def _price(one: Line) -> str:
    if one.per == 1:
        return f"{one.usd_per:g}"
    return f"{one.usd_per:g} a million"


def _number(word: str) -> int:
    """Like `count`, but zero is allowed, and digits may be grouped: 1_000_000."""
    digits = word.replace("_", "").replace(",", "")
    return 0 if digits == "0" else count(digits)


def _memory(word: str) -> int:
    mb = count(word)
    if not 128 <= mb <= 10_240:
        raise argparse.ArgumentTypeError(f"{word} MB is no memory of a Lambda; it is from 128 to 10,240")
    return mb
