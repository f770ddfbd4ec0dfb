"""One process of the check: it loads the code once, then answers each run, a line of JSON, by what a replay finds.

    python -m tidemill_local.check.worker SEED TARGET...

Two workers with other seeds, of hashes as of `random`, are given the same runs: what they find differently follows from
neither the journal nor the code alone.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import IO, Any

import msgspec

from tidemill.engine.drive.dry.difference import Difference
from tidemill.engine.drive.dry.replay import Outcome, replay
from tidemill.errors import BundleError, JournalError
from tidemill_local.bundles.file import Bundle, bundle_of
from tidemill_local.check.sandbox import Sandbox

_NOTHING = "no socket, process or write between steps"


def main(seed: int, targets: tuple[str, ...]) -> int:
    answers = os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "w") as nowhere:  # what the user's code prints is nobody's answer
        os.dup2(nowhere.fileno(), 1)
    functions, problem = _load(targets)
    _answer(answers, {"problem": problem})
    if problem:
        return 1
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    sandbox = Sandbox()
    for line in sys.stdin.buffer:
        _answer(answers, _judged(line, functions, sandbox, seed))
    return 0


def _answer(answers: IO[bytes], content: object) -> None:
    answers.write(msgspec.json.encode(content) + b"\n")
    answers.flush()


def _load(targets: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    from tidemill_local.load import mistakes
    from tidemill_local.load import targets as loader

    cwd = Path.cwd()
    try:
        return dict(loader.load(targets, cwd).functions()), ""
    except (Exception, SystemExit) as error:
        return {}, mistakes.explain(error, cwd)


def _judged(line: bytes, functions: dict[str, Any], sandbox: Sandbox, seed: int) -> dict[str, Any]:
    """What is found in the run or in one of the parts of its maps, and how far the code came."""
    content = msgspec.json.decode(line)
    reached: list[Any] = []
    patched: dict[str, bool] = {}
    try:
        for each in bundle_of(content).all():
            found, outcome = _replayed(each, functions, sandbox, seed)
            patched |= outcome.patched if not each.kind else {}
            reached.append([outcome.reached, outcome.goes_on and outcome.goes_on[0]])
            if found is not None:
                return {"finding": found, "reached": reached}
    except (BundleError, JournalError) as error:
        return {"finding": _finding(content["run"], "unjudged", "a journal", str(error)), "reached": reached}
    return {"finding": None, "reached": reached, "patched": patched}


def _replayed(
    bundle: Bundle, functions: dict[str, Any], sandbox: Sandbox, seed: int
) -> tuple[dict[str, Any] | None, Outcome]:
    function = functions.get(bundle.function_id)
    if function is None:
        return _finding(bundle.run, "gone", "the function", "is not in the code"), Outcome(None, None, 0)
    random.seed(seed)
    with sandbox.closed():
        outcome = replay(function, bundle.recorded)
    if sandbox.refused:
        return _finding(bundle.run, "raises", _NOTHING, sandbox.refused[0]), outcome
    difference = outcome.difference
    return (None if difference is None else _of(bundle.run, difference)), outcome


def _of(run: dict[str, Any], difference: Difference) -> dict[str, Any]:
    found = _finding(run, difference.kind, difference.expected, difference.found, difference.step)
    return {**found, "place": difference.place}


def _finding(run: dict[str, Any], kind: str, expected: str, found: str, step: str | None = None) -> dict[str, Any]:
    about = {"function_id": run["function_id"], "run_id": run["run_id"], "step": step, "kind": kind}
    return {**about, "expected": expected, "found": found, "place": ""}


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), tuple(sys.argv[2:])))
