"""Explains in a few lines why the user's code could not be loaded: error, file and line, without a traceback."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from tidemill.errors import TidemillError
from tidemill_local.cli.stop import FAILED, USAGE
from tidemill_local.load.definitions import DefinitionsError
from tidemill_local.load.envfile import EnvFileError
from tidemill_local.load.sources import is_own
from tidemill_local.load.targets import NoTargetError, TargetError


def explain(error: BaseException, cwd: Path) -> str:
    """The error and its place, for people."""
    if isinstance(error, (TargetError, EnvFileError, DefinitionsError)):
        return str(error)
    if isinstance(error, SyntaxError) and error.filename is not None:
        return _at(error.filename, error.lineno or 0, (error.text or "").strip(), cwd) + f"\n{_named(error)}"
    frame = _own_frame(error, cwd)
    if frame is None:  # no line of the code is wrong: a schema's file is, or the way to the code
        return _named(error) if isinstance(error, TidemillError) else f"the code cannot be loaded: {_named(error)}"
    return _at(frame.filename, frame.lineno or 0, frame.line or "", cwd) + f"\n{_named(error)}"


def code(error: BaseException) -> int:
    """The exit code of a command whose targets could not be loaded."""
    return USAGE if isinstance(error, NoTargetError) else FAILED


def files(error: BaseException) -> list[str]:
    """The user's files in the error's traceback, where it may be fixed, although none of them was imported."""
    found = {frame.filename for frame in traceback.extract_tb(error.__traceback__)}
    if isinstance(error, SyntaxError) and error.filename:
        found.add(error.filename)
    return sorted(file for file in found if is_own(file))


def spots(error: BaseException) -> list[str]:
    """The folders of bad definitions: a missing step folder may appear anywhere beneath them."""
    return error.spots if isinstance(error, DefinitionsError) else []


def _named(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, SystemExit):
        return "the file ends the process (sys.exit) when it is imported; put that under if __name__ == '__main__'"
    if isinstance(error, TidemillError):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _at(file: str, line: int, source: str, cwd: Path) -> str:
    path = os.path.relpath(file, cwd) if file.startswith(str(cwd) + os.sep) else file
    return f"{path}, line {line}" + (f": {source}" if source else "")


def _own_frame(error: BaseException, cwd: Path) -> traceback.FrameSummary | None:
    """The innermost frame of the user's code, which is neither Tidemill's nor installed."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    inside = [frame for frame in own if frame.filename.startswith(str(cwd) + os.sep)]
    found = inside or own
    return found[-1] if found else None
