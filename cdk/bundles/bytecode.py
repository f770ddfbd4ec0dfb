"""Compiles the modules of a bundle: Lambda's /opt and /var/task are read-only, so otherwise every cold start would
compile them again (a quarter of a second for pydantic alone).

The files are unchecked hash-based pycs: equal sources give equal files, and an import does not check the source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

# Compiles everything below argv[1], as if it lay in argv[2], into files that are never checked against their sources.
_COMPILE = """
import compileall, py_compile, sys
compileall.compile_dir(sys.argv[1], maxlevels=40, quiet=2, stripdir=sys.argv[1], prependdir=sys.argv[2],
    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
"""


@cache
def interpreter(python: str) -> str | None:
    """An interpreter of this minor version ("3.13") on this machine, or None."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    names = [shutil.which(f"python{python}"), *map(str, sorted(_version_managers(), reverse=True))]
    return next((name for name in names if name and _is(name, python)), None)


def _version_managers() -> list[Path]:
    home = Path.home()
    return [*home.glob(".pyenv/versions/3.*/bin/python3"), *home.glob(".local/share/uv/python/*/bin/python3")]


def _is(name: str, python: str) -> bool:
    probe = [name, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        said = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=20).stdout  # noqa: S603  # an interpreter found here
    except (OSError, subprocess.TimeoutExpired):
        return False
    return said.strip() == python


def compile_below(folder: Path, python: str, place: str) -> None:
    """Compile all modules below `folder`; tracebacks show them under `place` ("/opt/python")."""
    name = interpreter(python)
    if name is None:
        return
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run([name, "-I", "-c", _COMPILE, str(folder), place], check=False, env=environment)  # noqa: S603  # an interpreter found here
