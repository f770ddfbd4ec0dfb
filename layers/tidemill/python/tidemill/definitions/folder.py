"""Finds and reads `*.function.json` files (functions without an SDK), and makes an app of them.

    from tidemill import definitions
    from tidemill.testing import Mill

    with Mill(definitions.app("functions")) as mill:
        mill.stub("sms", returns={"ok": True})

All definitions of a server are one app, `definitions`; their functions have the ids that the files give.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from tidemill.app import App
from tidemill.core.definition import Definition
from tidemill.core.flow import shared
from tidemill.declare.problems import Problems
from tidemill.definitions.definition import APP, parse
from tidemill.errors import DeclarationError, TaskFailed
from tidemill.model import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tidemill.sdk.function import AsyncFunction
    from tidemill.task import Runtime, Task

__all__ = ["ENDING", "NO_PROGRAMS", "Read", "app", "app_of", "find", "functions_of", "one_of_each", "read", "read_file"]

ENDING = ".function.json"


class Read(NamedTuple):
    """The result of reading a file: its definition, or its problems (`steps.sms.path: there is no such folder`)."""

    file: Path
    definition: Definition | None
    problems: tuple[str, ...]


def find(place: str | Path) -> list[Path]:
    """The definitions directly in a folder, by name. A path to a file is a definition, whatever its name."""
    path = Path(place)
    return sorted(path.glob(f"*{ENDING}")) if path.is_dir() else [path]


def read_file(file: str | Path) -> Read:
    """One file. Raises nothing."""
    path = Path(file)
    problems = Problems()
    definition = None
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.add("the file", f"cannot be read: {error.strerror or error}")
    else:
        definition = parse(data, path.absolute().parent, problems)
    return Read(path, definition, tuple(problems.found))


def one_of_each(found: Iterable[Read]) -> list[Read]:
    """Refuses an id that two files share: the second gets an error with the name of the first."""
    first: dict[str, Path] = {}
    checked: list[Read] = []
    for read in found:
        if read.definition is None:
            checked.append(read)
            continue
        id = read.definition.spec.id
        other = first.setdefault(id, read.file)
        if other is read.file:
            checked.append(read)
        else:
            problem = f"id: {id!r} is the id of {other} too; give one of the two another"
            checked.append(Read(read.file, None, (problem,)))
    clashes = dict(shared.clashes(read.definition.spec for read in checked if read.definition is not None))
    return [_told(read, clashes) for read in checked]


def _told(read: Read, clashes: Mapping[str, str]) -> Read:
    """Limits that several functions share are the same in all."""
    clash = clashes.get(read.definition.spec.id) if read.definition is not None else None
    return read if clash is None else Read(read.file, None, (clash,))


def read(*places: str | Path) -> list[Definition]:
    """The definitions of files and folders. Raises DeclarationError with every problem of every file."""
    files = [file for place in places for file in find(place)]
    if not files:
        named = ", ".join(map(str, places))
        raise DeclarationError(named, [f"there is no *{ENDING} directly in this folder"])
    found = one_of_each(read_file(file) for file in files)
    wrong = [one for one in found if one.problems]
    if len(wrong) == 1:
        raise DeclarationError(str(wrong[0].file), wrong[0].problems)
    if wrong:
        problems = [f"{one.file}: {problem}" for one in wrong for problem in one.problems]
        raise DeclarationError(f"{len(wrong)} definitions", problems)
    return [one.definition for one in found if one.definition is not None]


def functions_of(
    definitions: Sequence[Definition], runtimes: Mapping[str, Runtime]
) -> dict[str, AsyncFunction[Any, Any]]:
    """What runs: by id. `runtimes` by the name of their kind."""
    from tidemill.engine.drive.graph import graph_function  # imports the engine

    return {one.spec.id: graph_function(one, runtimes) for one in definitions}


def app_of(definitions: Sequence[Definition], runtimes: Mapping[str, Runtime]) -> App:
    """The app of these definitions."""
    made = App(APP)
    made.functions.update(functions_of(definitions, runtimes))
    return made


def app(*places: str | Path, runtimes: Mapping[str, Runtime] | None = None) -> App:
    """The app of the definitions of files and folders.

    Without `runtimes` no program runs: a step that a test does not stub fails, and says so.
    Raises DeclarationError with every problem of every file.
    """
    return app_of(read(*places), NO_PROGRAMS if runtimes is None else runtimes)


def _no_runtime(task: Task) -> NoReturn:
    why = f"no program is run here: stub the step, mill.stub({task.step.id!r}, returns=…), or give app(runtimes=)"
    raise TaskFailed(Failure("NoRuntime", why, step_id=task.step.id, retriable=False))


NO_PROGRAMS: Mapping[str, Runtime] = dict.fromkeys(("docker", "lambda", "http", "wasm"), _no_runtime)
