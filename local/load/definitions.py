"""Loads the definitions among the targets as one app, with the runtimes of this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.definition import Lambda, Wasm
from tidemill.definitions import folder as definitions
from tidemill.runtimes.extras import absent
from tidemill_local.load import sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill.app import App
    from tidemill.core.definition import Definition
    from tidemill.task import Runtime


class DefinitionsError(Exception):
    """Invalid definitions: one line per problem. `spots`: folders in which something may be missing."""

    def __init__(self, lines: list[str], spots: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.spots = spots


@dataclass(frozen=True)
class Loaded:
    """`files`: the source files of the functions; `places`: the folders and modules of their steps; `notes`: what is
    missing to run these."""

    app: App
    files: list[str]
    places: list[str]
    notes: list[str]


def load(files: list[Path], cwd: Path, programs: bool) -> Loaded:
    """The app of all these definitions; without `programs` no step of it can run. Raises DefinitionsError."""
    found = definitions.one_of_each(definitions.read_file(shown(file, cwd)) for file in files)
    wrong = [read for read in found if read.problems]
    if wrong:
        lines = [f"{read.file}: {problem}" for read in wrong for problem in read.problems]
        raise DefinitionsError(lines, sorted({str(read.file.absolute().parent) for read in wrong}))
    right = [read.definition for read in found if read.definition is not None]
    places = sorted({place for definition in right for place in _places(definition)})
    own = [str(file) for file in files] + [file for place in places for file in sources.beneath(place)[1]]
    app = definitions.app_of(right, _runtimes() if programs else definitions.NO_PROGRAMS)
    return Loaded(app, sorted(set(own)), places, _missing(right) if programs else [])


def _missing(found: list[Definition]) -> list[str]:
    """A sentence for each kind of step that cannot run here; a Lambda with an `arn` runs in AWS."""
    kinds: dict[str, str] = {}
    for definition in found:
        for step in definition.steps:
            if isinstance(step.runtime, Wasm) or (isinstance(step.runtime, Lambda) and step.runtime.arn is None):
                kind = "wasm" if isinstance(step.runtime, Wasm) else "lambda"
                kinds.setdefault(kind, f"{definition.spec.id}: step {step.id!r}")
    return [f"{where} cannot be run: {problem}" for kind, where in kinds.items() if (problem := absent(kind))]


def _runtimes() -> Mapping[str, Runtime]:
    from tidemill_local.runtimes import runtimes

    return runtimes()


def shown(file: Path, cwd: Path) -> Path:
    """The path relative to this folder, for people."""
    return file.relative_to(cwd) if file.is_relative_to(cwd) and cwd == Path.cwd() else file


def _places(definition: Definition) -> list[str]:
    """Every file in a step's folder belongs to its program; the definition's own folder may contain anything."""
    paths = [step.path for step in definition.steps if step.path not in (None, ".")]
    return [os.path.normpath(os.path.join(definition.folder, path)) for path in paths]
