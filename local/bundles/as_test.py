"""Writes an exported run as a pytest: its steps are stubbed by what they gave, and the outcome is held."""

from __future__ import annotations

import pprint
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tidemill import duration, values
from tidemill.core.journal import Begun, Cancelled, Ended, Record, Resolved, Started, StepDone
from tidemill.core.step_keys import unscoped
from tidemill.limits import MINUTE
from tidemill.model import PLATFORM, SIGNAL, Event, Failure
from tidemill_local.bundles.file import Bundle
from tidemill_local.cli.stop import FAILED, Stop

_HEAD = '''"""Run {run_id} of {function_id}, as it was recorded: made by `tidemill runs export --as-test`."""

from __future__ import annotations
{imports}

from {module} import {app}
from tidemill.testing import Mill
{helpers}

def test_run_{name}() -> None:
    with Mill({app}) as mill:
        mill.set_time({at!r})
'''
_FAILS = '''

def failed(name: str, message: str) -> Exception:
    """An error that ends its step, by this name."""
    return type(name, (NonRetriableError,), {})(message)
'''
_ORDER = '''

def in_order(*results: object) -> Callable[..., object]:
    """Gives one result a call."""
    left = iter(results)
    return lambda *_, **__: next(left)
'''


def pytest_of(bundle: Bundle, app: str) -> str:
    """Raises Stop for a run that no test can bring about."""
    module, _, name = app.partition(":")
    birth = bundle.records[0] if bundle.records else None
    if not isinstance(birth, Started) or not birth.events:
        raise Stop(FAILED, f"run {bundle.run_id} has no event to begin a test with")
    body = [*_stubs(bundle), *_start(birth, bundle), *_happenings(bundle.records, birth.at), *_outcome(bundle.records)]
    helpers, imports = "", ""
    if any(" failed(" in line or "=failed(" in line for line in body):
        helpers, imports = _FAILS, "\nfrom tidemill import NonRetriableError"
    if any("in_order(" in line for line in body):
        helpers, imports = _ORDER + helpers, "\nfrom collections.abc import Callable\n" + imports
    about = {"run_id": bundle.run_id, "function_id": bundle.function_id, "name": bundle.run_id[-8:].lower()}
    made = {"module": module, "app": name or "app", "at": duration.iso(birth.at)}
    head = _HEAD.format(**about, **made, imports=imports, helpers=helpers)
    return head + "".join(f"        {line}\n" for line in body)


def _stubs(bundle: Bundle) -> Iterator[str]:
    """By the id of a step; several with one id, as branches have, give their results in order."""
    results: dict[str, list[StepDone | Resolved]] = defaultdict(list)
    for record in _steps(bundle):
        results[unscoped(record.key)].append(record)
    for step, records in results.items():
        failure = records[0].failure
        if len(records) > 1 and all(record.failure is None for record in records):
            given = ", ".join(repr(_value(record)) for record in records)
            yield f"mill.stub({step!r}, in_order({given}))"
        elif failure is not None:
            yield f"mill.stub({step!r}, raises={_error(failure)})"
        else:
            yield from _lines(f"mill.stub({step!r}, returns=", _value(records[0]), ")")


def _steps(bundle: Bundle) -> Iterator[StepDone | Resolved]:
    invoked = {child.step for child in bundle.children if child.kind == "invoke"}
    mapped = {record.key for record in bundle.records if isinstance(record, Begun)}
    for record in bundle.records:
        if (isinstance(record, StepDone) and record.kind == "run" and record.attempts) or (
            isinstance(record, Resolved) and record.event is None and record.key in invoked - mapped
        ):
            yield record
    for child in bundle.children:
        if child.kind == "map":
            yield from (_item(child.step, record) for record in child.records if isinstance(record, StepDone))


def _item(step: str, record: StepDone) -> StepDone:
    return StepDone(step, "run", record.started_at, record.at, record.attempts, record.value, record.failure)


def _start(birth: Started, bundle: Bundle) -> Iterator[str]:
    event = birth.events[0]
    if birth.parent is not None or event.name.startswith(PLATFORM):
        yield from _lines(f"run = mill.invoke({bundle.function_id!r}, ", _input(birth), ")")
        return
    data = values.plain(birth.input) if birth.input is not None else event.data
    user = f", user={event.user!r}" if event.user is not None else ""
    yield from _lines(f"run = mill.send({event.name!r}, ", data, f"{user}).run({bundle.function_id!r})")


def _input(birth: Started) -> Any:
    return values.plain(birth.input) if birth.input is not None else birth.events[0].data.get("data", {})


def _happenings(records: list[Record], began: int) -> Iterator[str]:
    """What came from outside, each in its time; at the end, time for what the run has slept."""
    now = began
    for record in records:
        if not isinstance(record, Resolved | Cancelled):
            continue
        event = record.event if isinstance(record, Resolved) else None
        if isinstance(record, Resolved) and event is None:
            continue  # a timeout, or a child that is stubbed
        if record.at > now:
            yield f"mill.set_time({duration.iso(record.at)!r})"
            now = record.at
        yield from _cancel() if event is None else _sent(event)
    end = max((record.at for record in records), default=began) + MINUTE
    yield f"mill.set_time({duration.iso(end)!r})"


def _cancel() -> Iterator[str]:
    yield 'mill.http("DELETE", f"/v1/runs/{run.id}")'


def _sent(event: Event) -> Iterator[str]:
    if event.name == SIGNAL:
        yield from _lines(f"mill.signal({event.data['signal']!r}, ", event.data.get("data"), ")")
    else:
        yield from _lines(f"mill.send({event.name!r}, ", event.data, ")")


def _outcome(records: list[Record]) -> Iterator[str]:
    ended = next((record for record in records if isinstance(record, Ended | Cancelled)), None)
    if isinstance(ended, Cancelled):
        yield 'assert run.status == "cancelled"'
    elif ended is None:
        yield 'assert run.status not in ("completed", "failed", "cancelled")'
    elif ended.failure is not None:
        yield "assert run.error is not None"
        yield f"assert (run.error.type, run.error.message) == {(ended.failure.type, ended.failure.message)!r}"
    else:
        yield 'assert run.status == "completed", run.error'
        yield from _lines("assert run.output == ", values.decode(ended.value or b"null"), "")


def _value(record: StepDone | Resolved) -> Any:
    return values.plain(record.value) if record.value is not None else None


def _error(failure: Failure) -> str:
    return f"failed({failure.type!r}, {failure.message!r})"


def _lines(before: str, value: Any, after: str) -> Iterator[str]:
    shown = pprint.pformat(value, width=96, sort_dicts=False).splitlines()
    yield from (before + shown[0] + (after if len(shown) == 1 else ""), *shown[1:-1])
    if len(shown) > 1:
        yield shown[-1] + after
