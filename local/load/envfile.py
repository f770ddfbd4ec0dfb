"""Reads the environment file of `tidemill dev` with python-dotenv. Existing variables win."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")


class EnvFileError(Exception):
    """An environment file that is missing or cannot be read; the message is for people."""


def apply(path: Path, *, required: bool) -> None:
    """Set the file's variables that the environment lacks. A missing file is an error only if `required`."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        if required:
            raise EnvFileError(f"there is no file {path}; --env-file names a file of KEY=VALUE lines") from None
        return
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{path} cannot be read: {error}") from None
    for key, value in parse(text, str(path)).items():
        os.environ.setdefault(key, value)


def parse(text: str, name: str = ".env") -> dict[str, str]:
    """The variables of the text. Raises EnvFileError, which names the first line that python-dotenv would skip."""
    from dotenv import dotenv_values  # imported late: 30 ms
    from dotenv.parser import parse_stream

    for binding in parse_stream(io.StringIO(text)):
        line = binding.original.line + _blank_lines(binding.original.string)
        if binding.error or (binding.key is not None and (binding.value is None or not _NAME.fullmatch(binding.key))):
            raise EnvFileError(f"{name}, line {line}: this is not KEY=VALUE; quote a value that has several lines")
        if "\0" in (binding.value or ""):
            raise EnvFileError(f"{name}, line {line}: a value cannot hold the character NUL")
    return {key: value for key, value in dotenv_values(stream=io.StringIO(text)).items() if value is not None}


def _blank_lines(text: str) -> int:
    """The number of blank lines at the start of a binding."""
    return text[: len(text) - len(text.lstrip())].count("\n")
