"""`tidemill completion SHELL`: prints a shell's script to complete commands, options and names.

Each script passes the words to `tidemill __complete` (see `complete`), and falls back to files.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser, does
from tidemill_local.cli.stop import DONE

if TYPE_CHECKING:
    from argparse import Namespace

SHELLS = ("bash", "zsh", "fish")


def fill(parser: Parser) -> None:
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help="bash, zsh or fish")
    does(parser, _completion, "tidemill completion bash")


def _completion(options: Namespace) -> int:
    print(script(options.shell), end="")
    return DONE


def script(shell: str) -> str:
    return (Path(__file__).parent / "templates" / f"completion.{shell}.txt").read_text("utf-8")
