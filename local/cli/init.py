"""`tidemill init`: writes a first app with a test and an event, and a definition with its steps."""

from __future__ import annotations

import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser, does
from tidemill_local.cli.stop import DONE, FAILED, Stop

if TYPE_CHECKING:
    from argparse import Namespace

_IGNORED = ".gitignore"
_TEMPLATES = Path(__file__).parent / "templates"


def fill(parser: Parser) -> None:
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="where to write it (this folder)")
    does(parser, _init, "tidemill init shop")


def _init(options: Namespace) -> int:
    folder = Path(options.folder)
    files = {folder / _named(template): template.read_bytes() for template in sorted(_TEMPLATES.rglob("*.tmpl"))}
    if (folder / _IGNORED).exists():
        del files[folder / _IGNORED]  # a separate repository has one
    there = [str(file) for file in files if file.exists()]
    if there:
        raise Stop(FAILED, f"{', '.join(there)}: there already, and nothing is overwritten; name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("xb") as new:
                new.write(content)
    except OSError as error:
        raise Stop(FAILED, f"{error.filename or folder} cannot be written: {error.strerror or error}") from None
    _say(folder, files)
    return DONE


def _named(template: Path) -> Path:
    name = template.relative_to(_TEMPLATES).with_suffix("")
    return Path(_IGNORED) if name == Path("gitignore") else name


def _say(folder: Path, files: dict[Path, bytes]) -> None:
    enter = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    print("written: " + ", ".join(str(file) for file in files))
    print("\nnext, start it:\n")
    print(f"  {enter}tidemill dev")
    print("\nand in another terminal send it an event, and watch:\n")
    print(f"  {enter}tidemill send order/placed @order.json --wait")
    print("\nand its tests:\n")
    print(f"  {enter}{'' if find_spec('pytest') else 'pip install pytest && '}pytest")
