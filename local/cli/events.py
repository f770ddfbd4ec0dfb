"""`tidemill events`: shows events, and the runs that they started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill_local.cli.parser import Parser, asks, group, lists, prints_json
from tidemill_local.cli.stop import DONE

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api


def fill(parser: Parser) -> None:
    add = group(parser, "tidemill events list --name order/placed")
    listing = add("list", "list events, newest first")
    listing.add_argument("--name", help="only events of this name")
    listing.add_argument("--user", metavar="ID", help="only events of this user")
    listing.add_argument("--rejected", action="store_true", help="the rejected events in place of all others")
    lists(listing)
    prints_json(listing, "one event a line")
    asks(listing, _list, "tidemill events list --name order/placed --limit 20")

    exporting = add("export", "write events as lines that tidemill send --file sends again, oldest first")
    exporting.add_argument("--name", help="only events of this name")
    exporting.add_argument("--since", metavar="TIME", help="received from then on: ISO 8601, or an age such as 2h")
    exporting.add_argument("--until", metavar="TIME", help="received before (now)")
    asks(exporting, _export, "tidemill events export --name order/placed --since 2d")

    from tidemill_local.cli import events_codegen, events_diff, events_validate

    events_diff.fill(add("diff", "say what a change of the schemas breaks, and whom it reaches"))
    events_validate.fill(add("validate", "say what is wrong with events, each problem by its path"))

    events_codegen.fill(add("codegen", "print types of the events' data: Pydantic models or TypeScript"))

    resend = add("resend", "take a rejected event in after all, under its own id")
    resend.add_argument("event", metavar="EVENT", help="the event's id")
    resend.add_argument("data", metavar="JSON", nargs="?", help="in place of the data that was sent; @file or -")
    resend.add_argument("-v", "--version", dest="v", metavar="V", help="in place of the version that was sent")
    prints_json(resend, "the event's id")
    asks(resend, _resend, "tidemill events resend 01KAN5YJ4CPD9DQ5WX1QZ7M0GV")

    show = add("show", "show one event and the runs that it started")
    show.add_argument("event", metavar="EVENT", help="the event's id")
    prints_json(show, "the event")
    asks(show, _show, "tidemill events show 01KAN5YJ4CPD9DQ5WX1QZ7M0GV")


def _list(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import rows, text

    found = server.pages(
        "/v1/events",
        options.limit,
        name=options.name,
        user=options.user,
        rejected="true" if options.rejected else None,
        after=options.after,
        before=options.before,
        order=options.order,
    )
    return rows.show(options, found, lambda events: _table(events, text.now_ms()), "no events")


def _export(options: Namespace, server: Api) -> int:
    from tidemill_local.cli.export import export

    return export(options, server)


def _table(events: list[dict[str, Any]], now: int) -> str:
    from tidemill_local.cli import text
    from tidemill_local.cli.table import table

    shown = [
        (event["id"], event["name"], text.ago(event["received_at"], now), _user(event), text.value(event["data"], 200))
        for event in events
    ]
    return table(("EVENT", "NAME", "RECEIVED", "USER", "DATA"), shown, cut=("NAME", "USER", "DATA"))


def _show(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import runs, text
    from tidemill_local.cli.http import event_path
    from tidemill_local.cli.table import facts

    event = server.get(event_path(options.event))
    if options.json:
        print(text.compact(event))
        return DONE
    known = [
        ("event", event["id"]),
        ("name", event["name"]),
        ("received", text.moment(event["received_at"])),
        ("user", text.value(event.get("user"))),
        ("version", event.get("v") or ""),
        ("data", text.value(event["data"], 4_000)),
        *_why(event),
    ]
    print(facts((name, text.clean(fact)) for name, fact in known if fact))
    started = server.get(event_path(options.event, "/runs"))
    print("\n" + (runs.table(started, text.now_ms()) if started else "it started no runs"))
    return DONE


def _why(event: dict[str, Any]) -> list[tuple[str, str]]:
    """Why it was rejected, each problem by its place."""
    from tidemill_local.cli import text

    rejected = event.get("rejected")
    if rejected is None:
        return []
    places = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in rejected["errors"])
    return [("rejected", rejected["error"]), ("problems", places), ("was sent", text.value(rejected["body"], 4_000))]


def _resend(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import text
    from tidemill_local.cli.arguments import json_object
    from tidemill_local.cli.http import event_path

    body: dict[str, Any] = {}
    if options.data is not None:
        body["data"] = json_object(options.data, "JSON")
    if options.v is not None:
        body["v"] = options.v
    taken = server.post(event_path(options.event, "/resend"), body)
    print(text.compact(taken) if options.json else text.clean(f"taken in: {taken['id']}"))
    return DONE


def _user(event: dict[str, Any]) -> str:
    """The field that identifies the user best."""
    user: dict[str, Any] = event.get("user") or {}
    return str(next((user[key] for key in ("id", "external_id", "email", "phone") if user.get(key)), ""))
