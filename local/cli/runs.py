"""`tidemill runs`: lists, shows, cancels and reruns runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill_local.cli.parser import Parser, asks, group, lists, prints_json
from tidemill_local.cli.stop import DONE, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace

    from tidemill_local.cli.http import Api


_WIDE = 120  # columns of a terminal that has room for whole ids


def fill(parser: Parser) -> None:
    add = group(parser, "tidemill runs list --status failed")
    listing = add("list", "list runs, newest first")
    listing.add_argument("--function", metavar="ID", help="only runs of this function")
    listing.add_argument(
        "--status",
        help="only runs with this status: scheduled, running, sleeping, waiting, completed, failed, cancelled, skipped",
    )
    listing.add_argument("--user", metavar="ID", help="only runs of this user")
    lists(listing)
    prints_json(listing, "one run a line")
    asks(listing, _list, "tidemill runs list --status failed --limit 20")

    show = add("show", "show one run with its steps")
    _names_run(show)
    prints_json(show, "the run with its journal and steps")
    asks(show, _show, "tidemill runs show 01KAN5YJ4CPD9DQ5WX1QZ7M0GV")

    logs = add("logs", "show what the code of a run has logged")
    _names_run(logs)
    logs.add_argument("--follow", action="store_true", help="go on until the run has ended")
    prints_json(logs, "one line of the log a line")
    asks(logs, _logs, "tidemill runs logs 01KAN5YJ4CPD9DQ5WX1QZ7M0GV --follow")

    why = add("why", "say why a run does not go on at this moment")
    _names_run(why)
    prints_json(why, "the reason, with its code and details")
    asks(why, _why, "tidemill runs why 01KAN5YJ4CPD9DQ5WX1QZ7M0GV")

    export = add("export", "write one run, with all that it remembers, to a file")
    _names_run(export)
    export.add_argument("-o", "--output", metavar="FILE", help="the file (<id>.tidemill.json); - is standard output")
    export.add_argument("--redact", action="store_true", help="put placeholders in place of all text")
    export.add_argument("--as-test", action="store_true", help="write a pytest that holds what the run came to")
    export.add_argument("--app", metavar="MODULE:APP", help="with --as-test: what the test imports (app:app)")
    asks(export, _export, "tidemill runs export 01KAN5YJ4CPD9DQ5WX1QZ7M0GV --redact")

    from tidemill_local.cli import runs_bulk

    cancel = add("cancel", "cancel a run that has not ended, or many runs of a function")
    _names_run(cancel, nargs="?")
    runs_bulk.options(cancel, "cancel", "every open one")
    prints_json(cancel, "the cancelled run; of many, the job, with --dry-run the count")
    asks(cancel, _cancel, "tidemill runs cancel 01KAN5YJ4CPD9DQ5WX1QZ7M0GV")

    rerun = add("rerun", "start a run again as a new run")
    _names_run(rerun)
    rerun.add_argument("--from-step", metavar="STEP", help="keep what the steps before this one have done")
    rerun.add_argument(
        "--input", metavar="JSON", type=str, help="data in place of its event's, @file, or - for standard input"
    )
    rerun.add_argument("--wait", action="store_true", help="follow the new run to its end; 1 if it failed")
    prints_json(rerun, 'the new run\'s id as {"run_id": ...}, with --wait the ended run')
    asks(rerun, _rerun, "tidemill runs rerun 01KAN5YJ4CPD9DQ5WX1QZ7M0GV --wait")

    replay = add("replay", "start many runs of a function again, each as a new run")
    runs_bulk.options(replay, "replay", "failed")
    prints_json(replay, "the job, with --dry-run the count")
    asks(replay, _replay, "tidemill runs replay --function shop.checkout --since 2h --rate 50/s --dry-run")


def _names_run(parser: Parser, nargs: str | None = None) -> None:
    parser.add_argument("run", metavar="RUN", nargs=nargs, help="the run's id, or its last 8 characters")


def _list(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import rows, text

    found = server.pages(
        "/v1/runs",
        options.limit,
        function=options.function,
        status=options.status,
        user=options.user,
        after=options.after,
        before=options.before,
        order=options.order,
    )
    return rows.show(options, found, lambda runs: table(runs, text.now_ms()), "no runs")


def table(runs: list[dict[str, Any]], now: int) -> str:
    from tidemill_local.cli import story, text
    from tidemill_local.cli.run_id import SHORT
    from tidemill_local.cli.table import table

    narrow = 0 < text.columns() < _WIDE
    shown = [
        (
            run["run_id"][-SHORT:] if narrow else run["run_id"],
            run["function_id"],
            run["status"],
            text.ago(run["created_at"], now),
            text.between(run["started_at"], run["ended_at"]),
            story.error_line(run["error"]) if run.get("error") else run.get("reason") or text.value(run["output"], 200),
        )
        for run in runs
    ]
    header = ("RUN", "FUNCTION", "STATUS", "CREATED", "TOOK", "RESULT")
    return table(header, shown, cut=("FUNCTION", "RESULT"))


def _show(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import story, text
    from tidemill_local.cli.http import part
    from tidemill_local.cli.run_id import asked

    run = asked(server, options.run, server.get)
    if options.json:
        print(text.compact(run))
    else:
        why = "" if run["status"] in story.ENDED else server.get(f"/v1/runs/{part(run['run_id'])}/why")["sentence"]
        print(story.timeline(run, text.now_ms(), _event_of(server, run), why))
    return DONE


def _why(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import story, text
    from tidemill_local.cli.run_id import asked

    why = asked(server, options.run, lambda path: server.get(f"{path}/why"))
    print(text.compact(why) if options.json else story.reason(why))
    return DONE


def _logs(options: Namespace, server: Api) -> int:
    from tidemill_local.cli.logs import show

    return show(options, server)


def _export(options: Namespace, server: Api) -> int:
    from tidemill_local.cli.export_run import export

    return export(options, server)


def _event_of(server: Api, run: dict[str, Any]) -> dict[str, Any] | None:
    """The event that started a run; None if it has expired."""
    from tidemill_local.cli.http import Refusal, event_path

    if not run["event_ids"]:
        return None
    try:
        event: dict[str, Any] = server.get(event_path(run["event_ids"][0]))
    except Refusal:
        return None
    return event


def _cancel(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import runs_bulk, text
    from tidemill_local.cli.run_id import asked

    if runs_bulk.chosen(options) == (options.run is not None) or (options.run is None and options.function is None):
        raise Stop(
            USAGE, "name one run, or --function for many: tidemill runs cancel --function shop.checkout --dry-run"
        )
    if options.run is None:
        return runs_bulk.start(options, server, "cancel")
    run = asked(server, options.run, server.delete)
    print(text.compact(run) if options.json else f"{run['run_id']} is {run['status']}")
    return DONE


def _replay(options: Namespace, server: Api) -> int:
    from tidemill_local.cli import runs_bulk

    return runs_bulk.start(options, server, "replay")


def _rerun(options: Namespace, server: Api) -> int:
    from tidemill_local.cli.arguments import json_argument
    from tidemill_local.cli.invoke import started_run
    from tidemill_local.cli.run_id import asked

    body: dict[str, Any] = {}
    if options.from_step is not None:
        body["from_step"] = options.from_step
    if options.input is not None:
        body["input"] = json_argument(options.input, "--input")
    started = asked(server, options.run, lambda path: server.post(f"{path}/rerun", body))
    return started_run(options, server, started)
