"""Tasks: what the program of a definition's step receives, and the port that every kind of runtime implements."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tidemill.core.definition import StepSpec


class Task(msgspec.Struct, frozen=True):
    """One attempt of a definition's step. `input`: its program's input, as JSON. `folder`: that of the definition."""

    function_id: str
    run_id: str
    attempt: int
    step: StepSpec
    folder: str
    input: dict[str, Any]


class Handed(msgspec.Struct, frozen=True):
    """The program runs elsewhere, and reports its end later (`engine.drive.remote_attempt`). Without a report by
    `until`, the attempt has failed."""

    until: int


class Runtime(Protocol):
    """Runs the programs of one kind of step (docker, lambda, http, wasm). Each call has its own thread."""

    def __call__(self, task: Task) -> Any:
        """The program's output as JSON data, or Handed. Raises TaskFailed; enforces the step's timeout itself."""
        ...
