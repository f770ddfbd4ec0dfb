"""Where `tidemill events` finds schemas: a folder, a file, or `ref:path` of git."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tidemill_local.cli.stop import USAGE, Stop
from tidemill_local.console.terminal import clean

if TYPE_CHECKING:
    from tidemill.model import EventSchema

Schemas = dict[str, dict[str, "EventSchema"]]  # by event, by version


def read(given: str) -> Schemas:
    """The schemas that the words stand for. Raises Stop with every problem."""
    from tidemill.declare.schemas import Found, of_file, of_folder, one_of_each
    from tidemill.errors import DeclarationError

    path = Path(given)
    try:
        found: list[Found]
        if path.is_dir():
            found = of_folder(path)
        elif path.is_file():
            found = [of_file(path, _name(path))]
        elif ":" in given:
            found = _of_git(given)
        else:
            raise Stop(USAGE, f"there is no {clean(given)}; give a folder, a file or ref:path of git")
        each = one_of_each(found)
    except DeclarationError as error:
        raise Stop(USAGE, clean(f"{given}: {'; '.join(error.problems)}")) from None
    by_name: Schemas = {}
    for one in each:
        by_name.setdefault(one.name, {})[one.v] = one
    return by_name


def _name(file: Path) -> str:
    """The event of a file: the folders between `events` and itself, else the one that it is in."""
    parts = file.resolve().parent.parts
    below = len(parts) - 1 - parts[::-1].index("events") if "events" in parts else len(parts) - 2
    return "/".join(parts[below + 1 :]) or file.stem


def _of_git(given: str) -> list[Any]:
    from tidemill.declare.schemas import of_file, of_folder

    ref, _, inside = given.partition(":")
    listed = _git("ls-tree", "-r", "-z", "--name-only", "--full-tree", ref, "--", inside.rstrip("/"), given=given)
    files = [name for name in listed.decode().split("\0") if name.endswith(".json")]
    if not files:
        raise Stop(USAGE, f"{clean(given)}: git knows no *.json there")
    with tempfile.TemporaryDirectory() as scratch:
        for name in files:
            copy = Path(scratch) / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(_git("cat-file", "blob", f"{ref}:{name}", given=given))
        place = Path(scratch) / PurePosixPath(inside)
        return of_folder(place) if place.is_dir() else [of_file(place, _name(place))]


def _git(*words: str, given: str) -> bytes:
    try:
        done = subprocess.run(["git", *words], capture_output=True, check=False)  # noqa: S603, S607  # the user's own git
    except OSError:
        raise Stop(USAGE, f"{clean(given)} names a state of git, and there is no git here") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Stop(USAGE, clean(f"{given}: git says {said[-1] if said else 'nothing'}"))
    return done.stdout
