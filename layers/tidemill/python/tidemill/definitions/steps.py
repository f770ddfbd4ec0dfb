"""The steps of a definition: the runtime of each, and the path of its program."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from tidemill import limits
from tidemill.core.definition import Docker, Http, Lambda, Program, StepSpec, Wasm
from tidemill.definitions.strict_json import join

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.core.graph import Node
    from tidemill.declare.problems import Problems

# The memory sizes of Fargate, in MB, by CPU units: (least, most, step). 256 is the exception: 512, 1024 and 2048.
_FARGATE = {
    512: (1024, 4096, 1024),
    1024: (2048, 8192, 1024),
    2048: (4096, 16384, 1024),
    4096: (8192, 30720, 1024),
    8192: (16384, 61440, 4096),
    16384: (32768, 122880, 8192),
}
_LAMBDA_TIMEOUT = 15 * limits.MINUTE


def step_of(given: dict[str, Any], node: Node, attempts: int, folder: Path, problems: Problems) -> StepSpec | None:
    """One step, whose shape has been checked; None if too much is missing. `attempts`: the default."""
    where = join("steps", node.id)
    if given.get("id", node.id) != node.id:
        problems.add(f"{where}.id", f"must be as its key, {node.id!r}, or left out; not {given['id']!r}")
    timeout = None
    if "timeout" in given:
        timeout = problems.duration(f"{where}.timeout", given["timeout"], most=limits.SLEEP)
    runtime = given.get("runtime", {})
    program = _program(runtime, f"{where}.runtime", problems)
    if isinstance(program, Lambda) and timeout is not None and timeout > _LAMBDA_TIMEOUT:
        problems.add(f"{where}.timeout", f"a Lambda runs for at most 15m, not {given['timeout']!r}")
    path = _path(given["path"], runtime.get("type"), f"{where}.path", folder, problems) if "path" in given else None
    if program is None:
        return None
    attempts = given.get("retries", {}).get("attempts", attempts)
    return StepSpec(node, program, given.get("name", ""), path, attempts, timeout)


def _program(given: dict[str, Any], where: str, problems: Problems) -> Program | None:
    options = {key: value for key, value in given.items() if key != "type"}
    match given.get("type"):
        case "docker":
            return _docker(options, where, problems)
        case "lambda":
            return Lambda(**options)
        case "http":
            return Http(**options) if "url" in options else None
        case "wasm":
            return Wasm(**options)
        case _:
            return None


def _docker(options: dict[str, Any], where: str, problems: Problems) -> Docker:
    cpu: int = options.get("cpu", 256)
    allowed = _amounts(cpu)
    memory: int = options.get("memory", allowed[0])
    if memory not in allowed:
        few = ", ".join(map(str, allowed)) if len(allowed) <= 7 else f"{allowed[0]}, {allowed[1]}, … {allowed[-1]}"
        problems.add(f"{where}.memory", f"with cpu {cpu} Fargate has {few} MB, not {memory}")
    return Docker(options.get("image"), cpu, memory)


def _amounts(cpu: int) -> list[int]:
    if cpu not in _FARGATE:
        return [512, 1024, 2048]
    least, most, step = _FARGATE[cpu]
    return list(range(least, most + 1, step))


def _path(given: str, kind: str | None, where: str, folder: Path, problems: Problems) -> str:
    """A path from the definition's folder, and within it, so that a deployment needs to pack only that folder."""
    path = os.path.normpath(given.removeprefix("file://"))
    if path == ".." or path.startswith(f"..{os.sep}"):
        problems.add(where, f"leads out of the definition's folder: {given!r}; put the program beneath it")
        return path
    place = os.path.join(folder, path)
    if kind == "wasm" and not os.path.isfile(place):
        what = "is a folder, not a .wasm file" if os.path.isdir(place) else "there is no such file"
        problems.add(where, f"{what}: {given!r}, looked for at {place}")
    elif kind in ("docker", "lambda") and not os.path.isdir(place):
        what = "is a file, not a folder" if os.path.isfile(place) else "there is no such folder"
        problems.add(where, f"{what}: {given!r}, looked for at {place}")
    return path
