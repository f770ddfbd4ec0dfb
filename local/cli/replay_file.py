"""`tidemill dev --replay F TARGET`: the code over what was recorded. No step's body runs, unless `--until` names it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill_local.bundles import file
from tidemill_local.bundles.file import Bundle
from tidemill_local.cli.stop import DONE, FAILED, USAGE, Stop
from tidemill_local.console.terminal import clean_lines

if TYPE_CHECKING:
    from tidemill.engine.drive.dry.difference import Difference
    from tidemill.sdk.function import Function

    Functions = Mapping[str, Function[Any, Any]]

_BEFORE = 3  # steps shown before a difference


def run(path: str, targets: tuple[str, ...], until: str | None) -> int:
    bundle = read(path)
    functions = load(targets)
    if bundle.function_id not in functions:
        known = ", ".join(sorted(functions)) or "none"
        raise Stop(FAILED, f"the code has no function {bundle.function_id!r}, which this run is of; it has: {known}")
    return _all(bundle, functions) if until is None else _up_to(bundle, functions, until)


def read(path: str) -> Bundle:
    from tidemill.errors import BundleError

    try:
        return file.read(path)
    except BundleError as error:
        raise Stop(USAGE, str(error)) from None
    except OSError as error:
        raise Stop(USAGE, f"{path} cannot be read: {error.strerror or error}") from None


def load(targets: tuple[str, ...]) -> Functions:
    from tidemill_local.load import mistakes
    from tidemill_local.load import targets as loader

    cwd = Path.cwd()
    try:
        return loader.load(targets, cwd).functions()
    except (Exception, SystemExit) as error:
        raise Stop(mistakes.code(error), mistakes.explain(error, cwd)) from None


def _all(bundle: Bundle, functions: Functions) -> int:
    from tidemill.engine.drive.dry.replay import replay

    left_out: list[str] = []
    steps = 0
    for each in bundle.all():
        function = functions.get(each.function_id)
        if function is None:
            left_out.append(f"{each.run_id} ({each.function_id})")
            continue
        outcome = replay(function, each.recorded)
        steps += outcome.reached
        if outcome.difference is not None:
            print(clean_lines(diff(each, outcome.difference)))
            return FAILED
    for run in left_out:
        print(f"tidemill: not replayed, as the code has no such function: {run}", file=sys.stderr)
    print(f"{bundle.run_id}: the code does what the journal has ({steps} steps)")
    return DONE


def diff(bundle: Bundle, difference: Difference) -> str:
    """The steps that lead to the difference, and then what the journal has and what the code does."""
    record = f", record {difference.position}" if difference.position is not None else ""
    place = f", {difference.place}" if difference.place else ""
    return "\n".join(
        (
            f"--- the journal of {bundle.run_id}{record}",
            f"+++ the code of {difference.function_id}{place}",
            *(f"  {step}" for step in _leading(bundle, difference)),
            f"- {difference.expected}",
            f"+ the code {difference.found}",
            difference.advice,
        )
    )


def _leading(bundle: Bundle, difference: Difference) -> list[str]:
    end = difference.position if difference.position is not None else 0
    known = bundle.recorded.positions()
    before = sorted((number, key) for key, number in known.items() if number < end and key != difference.step)
    return [f"step {key!r}" for _, key in before[-_BEFORE:]]


def _up_to(bundle: Bundle, functions: Functions, step: str) -> int:
    from tidemill.engine.drive.dry.replay import replay
    from tidemill.engine.drive.dry.until import Until

    until = Until(step)
    with contextlib.suppress(SystemExit):
        replay(functions[bundle.function_id], bundle.recorded, seconds=None, until=until)
    if until.error is not None:
        raise Stop(FAILED, f"step {step!r} raises {type(until.error).__name__}: {until.error}")
    if not until.ran:
        why = until.other or "the code does not come to it"
        raise Stop(FAILED, f"step {step!r} has not run: {why}")
    print(clean_lines(f"step {step!r} gives {until.value!r}"))
    return DONE
