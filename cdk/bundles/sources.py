"""Chooses the files of a folder that are deployed; secrets and local files never are.

It leaves out names that begin with a dot, private keys, environments, caches, and the data folder of `tidemill dev`,
whatever its name. A file `.tidemillignore` in the folder excludes more, like .gitignore; a line that begins with `!`
includes something again. Links to files in the same folder are followed; a link that leads out is refused, because its
target may be private.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from tidemill_cdk.problems import DeployError

IGNORE = ".tidemillignore"
_KEYS = ("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk", "*.asc", "*.gpg")
_NAMED_KEYS = ("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "credentials.json", "service-account*.json")
_MADE = ("__pycache__", "node_modules", "cdk.out", "*.egg-info", "*.pyc", "*.pyo", "htmlcov")
BUILT_IN = (".*", *_KEYS, *_NAMED_KEYS, *_MADE)
_ENVIRONMENT = "pyvenv.cfg"  # marks a folder of installed packages
_DATA = "tidemill.db"  # marks a data folder of `tidemill dev`


@dataclass(frozen=True)
class Sources:
    """Paths below `folder`, in a fixed order."""

    folder: Path
    taken: tuple[Path, ...]
    left_out: tuple[Path, ...]  # a folder means everything in it


def sources(folder: Path) -> Sources:
    """The deployed files of the folder. Raises DeployError for a link that leads out of it."""
    taken: list[Path] = []
    left_out: list[Path] = []
    root = folder.resolve()
    ignored = _ignored(folder)
    for path in _walk(folder, ignored, left_out):
        if path.is_symlink():
            _inside(path, root)
        taken.append(path)
    return Sources(folder, tuple(taken), tuple(left_out))


def _walk(folder: Path, ignored: Callable[[str], bool], left_out: list[Path]) -> Iterator[Path]:
    for here, folders, names in os.walk(folder):
        where = Path(here)
        kept: list[str] = []
        for name in sorted(folders):
            path = where / name
            if ignored(path.relative_to(folder).as_posix()) or _is_made(path):
                left_out.append(path)
            elif path.is_symlink():
                _inside(path, folder.resolve())
                left_out.append(path)  # its files are included at their own paths
            else:
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            path = where / name
            if ignored(path.relative_to(folder).as_posix()):
                left_out.append(path)
            else:
                yield path


def _is_made(folder: Path) -> bool:
    return (folder / _ENVIRONMENT).is_file() or (folder / _DATA).is_file()


def _inside(link: Path, root: Path) -> None:
    target = link.resolve()
    if not target.is_relative_to(root):
        raise DeployError(
            f"{link} is a link that leads out of the folder that is deployed, to {target}; put a copy in its place, or"
            f" name it in {root / IGNORE}"
        )


def _ignored(folder: Path) -> Callable[[str], bool]:
    """Whether a path below the folder is left out: the last matching pattern decides."""
    file = folder / IGNORE
    written = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    lines = [line.strip() for line in written]
    patterns = [*BUILT_IN, *(line for line in lines if line and not line.startswith("#"))]

    def ignored(path: str) -> bool:
        found = False
        for pattern in patterns:
            if _fits(pattern.removeprefix("!"), path):
                found = not pattern.startswith("!")
        return found

    return ignored


def _fits(pattern: str, path: str) -> bool:
    """`*.csv` and `data/` match at any depth, `/data` and `data/*.csv` from the folder itself."""
    plain = pattern.rstrip("/")
    if "/" in plain:
        return fnmatchcase(path, plain.lstrip("/"))
    return fnmatchcase(path.rpartition("/")[2], plain)
