"""Finds the user's own source files: not the standard library's, not installed, not Tidemill's."""

from __future__ import annotations

import hashlib
import os
import sys
from functools import cache
from pathlib import Path

_MADE = frozenset({"__pycache__", "node_modules", "site-packages"})
_MOST = 5_000  # files that are checked beneath one folder


def of_modules(before: set[str]) -> list[str]:
    """The user's own files among the modules imported since `before`."""
    files = {_file(name) for name in set(sys.modules) - before}
    return sorted(file for file in files if file and is_own(file))


def is_own(file: str) -> bool:
    path = os.path.realpath(file)
    return not path.startswith(_installed()) and f"{os.sep}site-packages{os.sep}" not in path and os.path.isfile(path)


def beneath(place: str) -> tuple[list[str], list[str]]:
    """The folders and files of a step's folder, including itself; of a file, itself. Files of tools (caches, installed
    packages, hidden files) are not source."""
    if not os.path.isdir(place):
        return [], [place]
    folders: list[str] = []
    files: list[str] = []
    for folder, inner, names in os.walk(place):
        inner[:] = [name for name in inner if not name.startswith(".") and name not in _MADE]
        folders.append(folder)
        files += [os.path.join(folder, name) for name in names if not name.startswith(".")]
        if len(files) > _MOST:
            break
    return folders, files


def version(files: list[str]) -> str:
    """A digest of source files: the same code has the same version, on every machine."""
    digest = hashlib.sha256()
    for file in files:
        try:
            digest.update(Path(file).read_bytes())
        except OSError:
            continue
    return digest.hexdigest()[:12]


def _file(module: str) -> str | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return os.path.realpath(file) if isinstance(file, str) and file.endswith(".py") else None


@cache
def _installed() -> tuple[str, ...]:
    import tidemill
    import tidemill_local

    places = [os.path.dirname(os.__file__), *tidemill.__path__, *tidemill_local.__path__]
    if sys.prefix != sys.base_prefix:
        places.append(sys.prefix)  # a virtual environment, wherever it is
    return tuple(os.path.realpath(place) + os.sep for place in places)
