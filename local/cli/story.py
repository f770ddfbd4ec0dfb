"""Prints a run for people: its facts, its steps in order, and its end."""

from __future__ import annotations

from typing import Any

from tidemill_local.cli import text
from tidemill_local.console.stack import stack_end

Run = dict[str, Any]
ENDED = frozenset({"completed", "failed", "cancelled", "skipped"})
BAD = frozenset({"failed", "cancelled"})

_VALUE = 80  # characters of a value in a table
_WHOLE = 400  # of a value on separate lines
_BENEATH = 8  # columns to the left of those
_NARROW = 100  # columns; a narrower terminal omits the least important cells
_STEP = ("STEP", "KIND", "STATUS", "ATTEMPTS", "TOOK", "OUTPUT")


def timeline(run: Run, now: int, event: Run | None = None, why: str = "") -> str:
    """Everything about one run. `event`: the first that started it, if known; `why`: why it is not running."""
    from tidemill_local.cli.table import facts

    told = [*_facts(run, now, event), ("why", text.clean(why))]
    parts = [facts((name, fact) for name, fact in told if fact)]
    if run["steps"]:
        parts.append(_steps_table(run, now))
    parts += [facts(end) for end in [_end(run)] if end]
    return "\n\n".join(parts)


def summary(run: Run, now: int) -> str:
    """The state of a run in a few words: `completed in 2.4 s`, `sleeping until 07:31:05 UTC, in 12 s`."""
    status = str(run["status"])
    words = text.colored(status)
    if status == "completed" or status == "failed":
        words += f" in {text.between(run['started_at'] or run['created_at'], run['ended_at'])}"
    wake = min((at for rest in rests(run).values() if (at := text.ms_of(rest["until"])) is not None), default=None)
    if status in ("sleeping", "waiting") and wake is not None:
        words += f" until {text.until(wake, now)}"
    words += between_attempts(run, now)
    return words + (f": {text.clean(run['reason'])}" if run.get("reason") else "")


def between_attempts(run: Run, now: int) -> str:
    """For a run whose code between steps failed and is retried: the attempt, the time of the next, and the error."""
    last: Run = run["journal"][-1] if run["journal"] and run["status"] not in ENDED else {"type": ""}
    again = text.ms_of(last["retry_at"]) if last["type"] == "attempt_failed" else None
    if again is None:
        return ""
    error = text.shortened(error_line(last["error"]), _VALUE)
    return f", attempt {last['attempt']} failed, again at {text.until(again, now)}: {error}"


def rests(run: Run) -> dict[str, Run]:
    """By the id of its step: what a run that cannot go on has last said that it waits for, and until when."""
    if run["status"] in ENDED:
        return {}
    said = next((entry for entry in reversed(run["journal"]) if entry["type"] == "suspended"), None)
    return {rest["step"]: rest for rest in said["blocked"]} if said else {}


def detail(step: Run, rest: Run | None, now: int, most: int = _VALUE) -> str:
    """The details of a step beyond its status: its value, its error, or what it waits for."""
    status = step["status"]
    wake = text.ms_of(rest["until"]) if rest else None
    if step.get("error") and status in ("failed", "retrying"):
        again = f"again at {text.until(wake, now)}: " if wake is not None and status == "retrying" else ""
        return again + text.shortened(error_line(step["error"]), most)  # only the end of the error is cut off
    if rest and status in ("sleeping", "waiting"):
        name = f"for {text.clean(rest['name'])} " if rest.get("name") and step["kind"] != "map" else ""
        return (name + (f"until {text.until(wake, now)}" if wake is not None else "")).strip()
    return text.value(step.get("output"), most)


def error_line(error: Run) -> str:
    return text.clean(f"{error['type']}: {error['message']}")


def error_block(error: Run) -> str:
    """The error, and the last lines of its stack."""
    where = f" (step {text.clean(error['step_id'])})" if error.get("step_id") else ""
    return "\n".join([error_line(error) + where, *_stack(error)])


def _stack(error: Run) -> list[str]:
    return stack_end(error["type"], error.get("stack") or "")


def reason(why: Run) -> str:
    """Why a run is not running: the sentence, then its details, one per line."""
    from tidemill_local.cli.table import facts

    told = [("run", why["run_id"]), ("status", text.colored(why["status"])), ("code", why["code"])]
    told += [(name, text.value(value, _WHOLE)) for name, value in why["details"].items()]
    return f"{text.clean(why['sentence'])}\n\n{facts(told)}"


def _facts(run: Run, now: int, event: Run | None) -> list[tuple[str, str]]:
    version = f" (version {text.clean(run['version'])})" if run.get("version") else ""
    return [
        ("run", run["run_id"]),
        ("function", text.clean(run["function_id"]) + version),
        ("status", summary(run, now)),
        ("attempt", str(run["attempt"]) if run["attempt"] > 1 else ""),
        ("event", _event(event) if event is not None else ""),
        ("event id" if event is not None else "event", ", ".join(text.clean(id) for id in run["event_ids"])),
        ("user", text.clean(run["user"]) if run.get("user") else ""),
        ("parent", run.get("parent_run_id") or ""),
        ("rerun of", run.get("rerun_of") or ""),
        ("created", _at(run["created_at"], now)),
        ("started", _at(run["started_at"], now)),
        ("ended", _at(run["ended_at"], now)),
    ]


def _event(event: Run) -> str:
    return f"{text.clean(event['name'])}  {text.value(event['data'], _VALUE)}".rstrip()


def _at(iso: str | None, now: int) -> str:
    at = text.ms_of(iso)
    if at is None:
        return ""
    recent = f" ({text.ago(iso, now)})" if 0 <= now - at < 86_400_000 else ""
    return text.moment(iso) + recent


def _steps_table(run: Run, now: int) -> str:
    from tidemill_local.cli.table import table

    steps, resting = run["steps"], rests(run)
    rows = [_step(step, resting.get(step["id"]), now) for step in steps]
    names = [name for name in _STEP if name != "KIND" or not 0 < text.columns() < _NARROW]
    shown = [[cell for name, cell in zip(_STEP, row, strict=True) if name in names] for row in rows]
    drawn = table(names, shown, "  ", cut=("STEP", "OUTPUT"), right=("ATTEMPTS",)).split("\n")
    lines = drawn[:1]
    for line, step in zip(drawn[1:], steps, strict=True):
        lines += [line, *(f"    {inner}" for inner in beneath(step, resting.get(step["id"]), now))]
    return "\n".join(lines)


def _step(step: Run, rest: Run | None, now: int) -> tuple[object, ...]:
    lasted = text.between(step["started_at"], step["ended_at"])
    said = "" if has_own_lines(step, rest) else detail(step, rest, now)
    return step["id"], step["kind"], step["status"], step["attempts"], lasted, said


def beneath(step: Run, rest: Run | None, now: int, stack: bool = True) -> list[str]:
    """The lines beneath a step: its error or what comes next, on a terminal, and the place of the failure."""
    lines = fitted([detail(step, rest, now, _WHOLE)]) if has_own_lines(step, rest) else []
    if stack and step["status"] == "failed" and step.get("error"):
        lines += fitted(_stack(step["error"]))
    return lines


def has_own_lines(step: Run, rest: Run | None) -> bool:
    """Whether a step's details get separate lines, because its row would be cut; files and programs get whole rows."""
    return text.columns() > 0 and (bool(step.get("error")) or bool(rest and rest.get("name")))


def fitted(lines: list[str]) -> list[str]:
    """These lines, wrapped for the terminal below a step; continued lines keep the indent."""
    from tidemill_local.cli.table import wrapped

    if not text.columns():
        return lines
    return [inner for line in lines for inner in wrapped(line, text.columns() - _BENEATH)]


def _end(run: Run) -> list[tuple[str, str]]:
    error = run.get("error")
    if error:
        told = any(step["id"] == error["step_id"] and step["status"] == "failed" for step in run["steps"])
        return [("error", error_block({**error, "stack": ""} if told else error))]
    return [("output", text.value(run["output"], 4_000))] if run["output"] is not None else []
