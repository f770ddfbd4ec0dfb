"""Builds the code of a Lambda: a zip of sources, wheels and compiled modules, built once for the same inputs.

A bundle's hash is that of its inputs, not of its bytes: unchanged code is an unchanged template, on every machine,
and a second synth finds the zip in the cache (`TIDEMILL_CACHE`, else the user's cache folder).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tidemill_cdk.bundles import bytecode, wheels
from tidemill_cdk.bundles.sources import sources

_RECIPE = 2  # incremented when the same inputs give another zip
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can store
_NOT_RUN = ("*.dist-info/RECORD", "*.dist-info/licenses", "*.dist-info/REQUESTED", "*.dist-info/direct_url.json", "bin")


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The inputs of a bundle."""

    name: str  # the zip's name in the cache, for people
    sources: tuple[tuple[str, Path], ...]  # (where in the bundle, folder): "" is its top
    requirements: Path | None = None  # packages to install beside the sources
    further: Path | None = None  # another file of packages, with hashes
    locked: bool = True  # `requirements` names every package, with hashes
    python: str
    architecture: str
    prefix: str = ""  # a folder of the zip that holds everything: "python" in a layer
    place: str  # where Lambda unpacks it, as tracebacks show
    listed: bool = False  # list on standard error the files that are in it, and those left out


@dataclass(frozen=True)
class Bundle:
    zip: Path
    hash: str


def bundle(recipe: Recipe) -> Bundle:
    """The zip of a recipe, from the cache or built now. Raises DeployError if packages cannot be fetched."""
    if recipe.listed:
        sys.stderr.writelines(_lines(recipe))
    digest = _digest(recipe)
    made = _cache() / f"{recipe.name}-{digest[:32]}.zip"
    if not made.exists():
        _cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{recipe.name}-", dir=_cache()) as scratch:
            _make(recipe, Path(scratch) / "content", Path(scratch) / "made.zip")
            os.replace(Path(scratch) / "made.zip", made)  # atomic, even if another process builds it at the same time
    return Bundle(made, digest)


def _lines(recipe: Recipe) -> Iterator[str]:
    yield f"{recipe.name}: what is deployed of it\n"
    for where, folder in recipe.sources:
        found = sources(folder)
        for sign, paths in (("+", found.taken), ("-", found.left_out)):
            for path in paths:
                yield f"  {sign} {(Path(where) / path.relative_to(folder)).as_posix()}\n"


def _digest(recipe: Recipe) -> str:
    digest = hashlib.sha256()
    compiled = bytecode.interpreter(recipe.python) is not None
    facts = [_RECIPE, recipe.python, recipe.architecture, recipe.prefix, recipe.place, compiled]
    digest.update(json.dumps(facts).encode())
    for where, folder in recipe.sources:
        for file in sources(folder).taken:
            _add(digest, f"{where}/{file.relative_to(folder).as_posix()}", file)
    if recipe.requirements is not None:
        _add(digest, "requirements", recipe.requirements)
    if recipe.further is not None:
        _add(digest, "further", recipe.further)
    return digest.hexdigest()


def _add(digest: _Digest, name: str, file: Path) -> None:
    content = file.read_bytes()
    digest.update(f"{len(name)} {name} {len(content)} ".encode())
    digest.update(content)


def _make(recipe: Recipe, content: Path, target: Path) -> None:
    content.mkdir()
    for requirements, locked in ((recipe.requirements, recipe.locked), (recipe.further, True)):
        if requirements is not None and requirements.read_text().strip():
            wheels.install(requirements, content, python=recipe.python, architecture=recipe.architecture, locked=locked)
            _drop(content)
    for where, folder in recipe.sources:
        for file in sources(folder).taken:
            copy = content / where / file.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
    bytecode.compile_below(content, recipe.python, recipe.place)
    _zip(content, recipe.prefix, target)


def _drop(content: Path) -> None:
    """Delete files of pip that no Lambda reads; the packages' versions stay."""
    for pattern in _NOT_RUN:
        for found in content.glob(pattern):
            if found.is_dir():
                shutil.rmtree(found)
            else:
                found.unlink()


def _zip(content: Path, prefix: str, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in _sorted(content.rglob("*")):
            name = file.relative_to(content).as_posix()
            entry = zipfile.ZipInfo(f"{prefix}/{name}" if prefix else name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o755 if os.access(file, os.X_OK) else 0o644) << 16
            archive.writestr(entry, file.read_bytes())


def _sorted(found: Iterable[Path]) -> list[Path]:
    return sorted(file for file in found if file.is_file())


def _cache() -> Path:
    named = os.environ.get("TIDEMILL_CACHE") or os.environ.get("XDG_CACHE_HOME")
    base = Path(named) if named else Path.home() / ".cache"
    return base if os.environ.get("TIDEMILL_CACHE") else base / "tidemill"
