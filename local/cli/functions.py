"""`tidemill functions`: shows and validates functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tidemill_local.cli import validate
from tidemill_local.cli.meant import meant
from tidemill_local.cli.parser import Parser, asks, group, prints_json
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from tidemill_local.cli.http import Api


_TIMES = frozenset({"first", "cap", "timeout", "start", "finish", "period"})  # milliseconds
_ELSEWHERE = ("id", "triggers", "flow", "places", "versions")  # shown in other lines; `versions` has no effect yet


def fill(parser: Parser) -> None:
    add = group(parser, "tidemill functions list")
    listing = add("list", "list the functions")
    prints_json(listing, "one function a line")
    asks(listing, _list, "tidemill functions list")

    show = add("show", "show one function: what starts it, how it retries, what is going on")
    show.add_argument("function", metavar="FUNCTION", help="the function's id, such as shop.checkout")
    prints_json(show, "the function")
    asks(show, _show, "tidemill functions show shop.checkout")

    pause = add("pause", "begin nothing more of a function, until it is resumed")
    _named(pause)
    pause.add_argument("--drop", action="store_true", help="skip what events start meanwhile (default: keep it)")
    prints_json(pause, "the function, or one a line")
    asks(pause, _pause, "tidemill functions pause shop.checkout")

    resume = add("resume", "go on with a paused function, and run what was kept, in order")
    _named(resume)
    prints_json(resume, "the function, or one a line")
    asks(resume, _resume, "tidemill functions resume shop.checkout")

    validate.fill(add("validate", "check definition files, and name every problem by its path"))


def _named(parser: Parser) -> None:
    parser.add_argument("function", metavar="FUNCTION", nargs="?", help="the function's id, such as shop.checkout")
    parser.add_argument("--all", action="store_true", help="all functions, in place of one")


def _pause(options: Namespace, server: Api) -> int:
    return _act(options, server, "pause", {"events": "drop" if options.drop else "keep"})


def _resume(options: Namespace, server: Api) -> int:
    return _act(options, server, "resume", {})


def _act(options: Namespace, server: Api, what: str, body: dict[str, str]) -> int:
    from tidemill_local.cli import text
    from tidemill_local.cli.http import part

    if options.all == bool(options.function):
        raise Stop(USAGE, f"name one function, or --all: tidemill functions {what} shop.checkout")
    if options.all:
        found = server.post(f"/v1/functions/{what}", body)
    else:
        path = f"/v1/functions/{part(options.function)}/{what}"
        found = [known(server, lambda: server.post(path, body), options.function)]
    for function in found:
        state = "paused" if function["paused"] else "not paused"
        print(text.compact(function) if options.json else f"{text.clean(function['id'])} is {state}")
    return DONE


def _list(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import rows

    return rows.show(options, server.get("/v1/functions"), _table, "no functions")


def _table(functions: list[dict[str, Any]]) -> str:
    """The columns of places are omitted if no function has any."""
    from tidemill_local.cli.table import table

    limited = any(function["places"] for function in functions)
    head = ["FUNCTION", "RUNNING", "IDLE", "BACKLOG", *(["PLACES", "WAITED"] if limited else []), "STARTED BY"]
    rows = [_row(function, limited) for function in functions]
    return table(head, rows, cut=("STARTED BY",), right=("RUNNING", "IDLE", "BACKLOG"))


def _row(function: dict[str, Any], limited: bool) -> list[Any]:
    places = function["places"]
    use = [", ".join(map(_in_use, places)) or "-", _longest(places) or "-"]
    started_by = ", ".join(map(_trigger, function["triggers"])) or "invoke alone"
    counts = [function[kind] for kind in ("running", "idle", "backlog")]
    return [function["id"], *counts, *(use if limited else []), started_by]


def _show(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import text
    from tidemill_local.cli.http import part
    from tidemill_local.cli.table import facts

    function = known(server, lambda: server.get(f"/v1/functions/{part(options.function)}"), options.function)
    if options.json:
        print(text.compact(function))
        return DONE
    print(facts(((name, text.clean(fact)) for name, fact in _facts(function) if fact), 11))
    return DONE


def _facts(function: dict[str, Any]) -> list[tuple[str, str]]:
    told = [("function", function["id"])]
    told += [("started by", _trigger(trigger)) for trigger in function["triggers"]] or [("started by", "invoke alone")]
    limits = {name: fact for name, fact in function["flow"].items() if name != "concurrency"}  # its places show it
    for name, fact in {**function, **limits}.items():
        if name not in _ELSEWHERE and fact not in (None, [], {}, ""):
            told.append((name.replace("_", " "), _words(fact)))
    return told + [fact for limit in function["places"] for fact in _places(limit)]


def known(server: Api, ask: Callable[[], Any], function_id: str) -> Any:
    """The server's answer about a function; the error for an unknown id suggests similar ids."""
    from tidemill_local.cli.http import Refusal

    try:
        return ask()
    except Refusal as refusal:
        if refusal.status != 404:
            raise
        like = meant(function_id, (each["id"] for each in server.get("/v1/functions")))
        if not like:
            raise
        raise Stop(FAILED, f"no function has the id {function_id!r}{like}") from None


def _words(fact: Any, name: str = "") -> str:
    """A setting in words: durations with units, without fields that are not set."""
    from tidemill_local.cli import text

    if isinstance(fact, dict):
        fields = cast("dict[str, Any]", fact)
        return ", ".join(f"{key} {_words(value, key)}" for key, value in fields.items() if value is not None)
    if isinstance(fact, list):
        return "; ".join(_words(each) for each in cast("list[object]", fact))
    if name in _TIMES and isinstance(fact, int):
        return text.took(fact)
    if isinstance(fact, float) and fact.is_integer():
        return str(int(fact))
    return fact if isinstance(fact, str) else text.value(fact)


def _in_use(limit: dict[str, Any]) -> str:
    """The places in use. A limit with a key has no total to compare with: each value has its own."""
    return f"{limit['used']}" + ("" if limit["key"] else f"/{limit['limit']}")


def _longest(limits: list[dict[str, Any]]) -> str:
    from tidemill_local.cli import text

    since = [at for limit in limits if (at := text.ms_of(limit["oldest_wait"])) is not None]
    return text.took(max(text.now_ms() - min(since), 0)) if since else ""


def _places(limit: dict[str, Any]) -> list[tuple[str, str]]:
    """A limit and, beneath it, its busiest keys."""
    shared = "" if limit["scope"] == "function" else f", shared in the {limit['scope']}"
    by = f" for each {limit['key']}" if limit["key"] else ""
    facts = [("places", f"{limit['limit']} {limit['counts']}{by}{shared}: {_usage(limit)}")]
    return facts + [("", f"  {key['value']}: {_usage(key)}") for key in limit["keys"]]


def _usage(usage: dict[str, Any]) -> str:
    since = f", the longest since {usage['oldest_wait']}" if usage["oldest_wait"] else ""
    return f"{usage['used']} in use, {usage['waiting']} waiting{since}"


def _trigger(trigger: dict[str, Any]) -> str:
    from tidemill_local.cli import text

    if trigger.get("cron"):
        zone = trigger.get("timezone") or "UTC"
        return text.clean(f"cron {trigger['cron']}" + (f" {zone}" if zone != "UTC" else ""))
    return text.clean(trigger["name"] + (f" when {trigger['when']}" if trigger.get("when") else ""))
