"""`tidemill runs replay`, and `tidemill runs cancel --function`: the same for many runs, as a job of the server.

The job has its id from here, so that it is created once. To ask, to count and to follow changes nothing.
"""

from __future__ import annotations

import os
import sys
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

from tidemill_local.cli import text
from tidemill_local.cli.stop import DONE, FAILED, INTERRUPTED, USAGE, Stop

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Mapping

    from tidemill_local.cli.http import Api
    from tidemill_local.cli.parser import Parser

    Job = Mapping[str, Any]

_QUIET = 10.0  # seconds between two lines of progress where no terminal shows them
_PATHS = {"replay": "/v1/replays", "cancel": "/v1/cancellations"}
_NOUNS = {"replay": "replay", "cancel": "cancellation"}
_PAST = {"replay": "replayed", "cancel": "cancelled"}
_CHOICES = ("status", "since", "until", "condition", "rate", "dry_run", "yes")  # that say which runs, or how


def options(parser: Parser, verb: str, default: str) -> None:
    parser.add_argument("--function", metavar="ID", required=verb == "replay", help=f"{verb} runs of this function")
    parser.add_argument("--status", help=f"only runs with this status ({default})")
    parser.add_argument(
        "--since", metavar="TIME", help="only runs created from then on: ISO 8601, or an age such as 2h"
    )
    parser.add_argument("--until", metavar="TIME", help="only runs created before (now)")
    parser.add_argument(
        "--if", dest="condition", metavar="CEL", help="only runs for which this holds over run and event"
    )
    parser.add_argument("--rate", metavar="RATE", help='at most so many runs: "50/s", "10/m" or "5/h"')
    parser.add_argument("--dry-run", action="store_true", help="count the runs, show the newest, and change nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask first")


def chosen(given: Namespace) -> bool:
    """Whether any option of many runs is given."""
    return given.function is not None or any(getattr(given, name) not in (None, False) for name in _CHOICES)


def start(given: Namespace, server: Api, verb: str) -> int:
    from tidemill.ids import ulid

    body = _body(given)
    if given.dry_run:
        return _dry(given, server.post(_PATHS[verb], {**body, "dry_run": True}))
    if not given.yes and not _agreed(server.post(_PATHS[verb], {**body, "dry_run": True}), given, verb):
        return DONE
    job_id: str = server.post(_PATHS[verb], {**body, "id": ulid(time_ns() // 1_000_000, os.urandom(10))})["id"]
    return _ended(given, _followed(server, verb, job_id), verb)


def _body(given: Namespace) -> dict[str, Any]:
    from tidemill_local.cli.arguments import moment

    now = text.now_ms()
    since, until = moment(given.since, now, "--since"), moment(given.until, now, "--until")
    body = {
        "function_id": given.function,
        "status": given.status,
        "started_after": None if since is None else max(since - 1, 0),
        "started_before": until,
        "if": given.condition,
        "rate": given.rate,
    }
    return {name: value for name, value in body.items() if value is not None}


def _dry(given: Namespace, found: Mapping[str, Any]) -> int:
    from tidemill_local.cli.runs import table

    if given.json:
        print(text.compact(found))
    else:
        print(f"{_count(found)} of {text.clean(given.function)} would be {_PAST[given.command]}")
        if found["runs"]:
            print("\n" + table(found["runs"], text.now_ms()))
    return DONE


def _agreed(found: Mapping[str, Any], given: Namespace, verb: str) -> bool:
    """Ask, with how many runs it is about. False: there are none."""
    if not found["count"]:
        print("no runs match; nothing was done", file=sys.stderr)
        return False
    what = f"{verb} {_count(found)} of {text.clean(given.function)}"
    if not sys.stdin.isatty():
        raise Stop(USAGE, f"this would {what}; add --yes to do so, or --dry-run to see them")
    print(f"{what[0].upper()}{what[1:]}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Stop(FAILED, "nothing was done")
    return True


def _count(found: Mapping[str, Any]) -> str:
    more = "more than " if found["more"] else ""
    return f"{more}{found['count']:,} run{'' if found['count'] == 1 else 's'}"


def _followed(server: Api, verb: str, job_id: str) -> Job:
    from tidemill_local.cli.follow import Pace, patiently
    from tidemill_local.cli.http import part

    pace, progress = Pace(), _Progress(verb)
    path = f"{_PATHS[verb]}/{part(job_id)}"
    try:
        while True:  # ends with the job; a paused one is followed until somebody resumes or stops it
            job: Job = patiently(server, path, pace)
            progress.show(job)
            if job["status"] in ("completed", "stopped"):
                return job
            pace.rest()
    except KeyboardInterrupt:
        stop = f"curl -X DELETE {server.url}{path}"
        raise Stop(INTERRUPTED, f"no longer watching; the {_NOUNS[verb]} goes on; {stop} stops it") from None
    finally:
        progress.close()


class _Progress:
    """One line on standard error: redrawn on a terminal, else now and then."""

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._drawn, self._shown, self._next = sys.stderr.isatty(), "", monotonic() + _QUIET

    def show(self, job: Job) -> None:
        line = f"{_NOUNS[self._verb]} {job['status']}: {_tally(job, self._verb)}"
        if line == self._shown:
            return
        if self._drawn:
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)
        elif monotonic() >= self._next:
            print(line, file=sys.stderr, flush=True)
            self._next = monotonic() + _QUIET
        self._shown = line

    def close(self) -> None:
        if self._drawn and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _tally(job: Job, verb: str) -> str:
    parts = [f"{job['done']:,} {_PAST[verb]}"]
    if job["skipped"]:
        parts.append(f"{job['skipped']:,} had ended")
    if job["failed"]:
        parts.append(f"{job['failed']:,} failed")
    return ", ".join(parts)


def _ended(given: Namespace, job: Job, verb: str) -> int:
    bad = job["failed"] or job["status"] == "stopped"
    if given.json:
        print(text.compact(job))
    else:
        print(f"{_NOUNS[verb]} {text.clean(job['id'])} {job['status']}: {_tally(job, verb)}")
    return FAILED if bad else DONE
