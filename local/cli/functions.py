"""`tidemill functions`: what can run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tidemill_local.cli.parser import Parser, asks, comes_later, group, prints_json
from tidemill_local.cli.stop import DONE

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api


def fill(parser: Parser) -> None:
    add = group(parser, "tidemill functions list")
    listing = add("list", "list the functions")
    prints_json(listing, "one function a line")
    asks(listing, _list, "tidemill functions list")

    show = add("show", "show one function: what starts it, how it retries, what is going on")
    show.add_argument("function", metavar="FUNCTION", help="the function's id, such as shop.checkout")
    prints_json(show, "the function")
    asks(show, _show, "tidemill functions show shop.checkout")

    for name, summary, until in (
        ("pause", "start no more runs of a function", "until then stop what sends its events"),
        ("resume", "start runs of a paused function again", "nothing can be paused yet"),
        ("validate", "check definition files", "functions are written in Python yet"),
    ):
        comes_later(add(name, summary), until, f"tidemill functions {name} shop.checkout")


def _list(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import rows

    return rows.show(options, server.get("/v1/functions"), _table, "no functions")


def _table(functions: list[dict[str, Any]]) -> str:
    from tidemill_local.cli import text

    shown = [
        (
            function["id"],
            function["running"],
            function["backlog"],
            ", ".join(map(_trigger, function["triggers"])) or "invoke alone",
        )
        for function in functions
    ]
    return text.table(("FUNCTION", "RUNNING", "BACKLOG", "STARTED BY"), shown)


def _show(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import text
    from tidemill_local.cli.http import part

    function = server.get(f"/v1/functions/{part(options.function)}")
    if options.json:
        print(text.compact(function))
        return DONE
    facts = [("function", function["id"])]
    facts += [("started by", _trigger(trigger)) for trigger in function["triggers"]] or [("started by", "invoke alone")]
    for name, fact in function.items():
        said = _said(fact)
        if name not in ("id", "triggers") and said not in (None, [], {}, ""):
            facts.append((name.replace("_", " "), said if isinstance(said, str) else text.value(said)))
    print("\n".join(f"{name:<11} {text.clean(fact)}" for name, fact in facts))
    return DONE


def _said(fact: Any) -> Any:
    """Without what an object leaves open."""
    if not isinstance(fact, dict):
        return fact
    fields = cast("dict[str, Any]", fact)
    return {key: value for key, value in fields.items() if value is not None}


def _trigger(trigger: dict[str, Any]) -> str:
    from tidemill_local.cli import text

    if trigger.get("cron"):
        zone = trigger.get("timezone") or "UTC"
        return text.clean(f"cron {trigger['cron']}" + (f" {zone}" if zone != "UTC" else ""))
    return text.clean(trigger["name"] + (f" when {trigger['when']}" if trigger.get("when") else ""))
