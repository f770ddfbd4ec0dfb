"""The programs of definitions: what one is given, and the port behind which each kind of runtime is."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from tidemill.core.definition import StepSpec


class Task(msgspec.Struct, frozen=True):
    """One attempt of a definition's step. `input`: what its program is given, as JSON. `folder`: the definition's."""

    function_id: str
    run_id: str
    attempt: int
    step: StepSpec
    folder: str
    input: dict[str, Any]


class Handed(msgspec.Struct, frozen=True):
    """The work goes on elsewhere, and its end will be told (`execute.handed`): the attempt has failed if that has not
    happened by `until`."""

    until: int


class Runtime(Protocol):
    """Runs the programs of one kind of step (docker, lambda, http, wasm). Called in a thread of its own."""

    def __call__(self, task: Task) -> Any:
        """The program's output, as JSON has it; or Handed. Raises TaskFailed; keeps the step's timeout itself."""
        ...
