"""A minimal `.env`: KEY=VALUE lines. What the environment already has wins."""

from __future__ import annotations

import os
import re
from pathlib import Path


class EnvFileError(Exception):
    """An environment file that is missing or cannot be read; the message is for people."""


def apply(path: Path, *, required: bool) -> None:
    """Set what the file names and the environment lacks. A file that is missing is an error only if `required`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        if required:
            raise EnvFileError(f"there is no file {path}; --env-file names a file of KEY=VALUE lines") from None
        return
    except (OSError, UnicodeDecodeError) as error:
        raise EnvFileError(f"{path} cannot be read: {error}") from None
    for key, value in parse(text, str(path)).items():
        os.environ.setdefault(key, value)


def parse(text: str, name: str = ".env") -> dict[str, str]:
    """`KEY=VALUE`, `export KEY=VALUE`, quotes around a value, `# comments`. Raises EnvFileError naming the line."""
    values: dict[str, str] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip().removeprefix("export ").lstrip()
        if not line or line.startswith("#"):
            continue
        key, equals, value = line.partition("=")
        key = key.strip()
        if not equals or not key.replace("_", "a").isalnum() or key[0].isdigit():
            raise EnvFileError(f"{name}, line {number}: this is not KEY=VALUE")
        values[key] = _value(value.strip(), f"{name}, line {number}")
    return values


def _value(text: str, place: str) -> str:
    quote = text[:1]
    if quote not in ("'", '"') or not quote:
        return text.partition(" #")[0].rstrip()
    end = text.find(quote, 1)
    while quote == '"' and end > 0 and text[end - 1] == "\\":
        end = text.find(quote, end + 1)
    if end < 0:
        raise EnvFileError(f"{place}: a quote is opened and not closed")
    inner = text[1:end]
    if quote == "'":
        return inner
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), inner)


_ESCAPES = {"n": "\n", "t": "\t", '"': '"', "\\": "\\", "$": "$"}
