"""Applies a folder's .dockerignore, which clients read, not the engine.

The last matching line decides; `!` includes again. `*` and `?` match within a name, `**` across folders, and the
contents of a matching folder are ignored with it. The Dockerfile is always sent.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path


class Ignored:
    """Whether a path within the folder is ignored; a folder only if nothing in it can be included again."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._rules: list[tuple[re.Pattern[str], bool]] = []
        for line in lines:
            text = line.strip()
            if text and not line.startswith("#"):
                pattern = posixpath.normpath(text.removeprefix("!").strip()).lstrip("/")
                self._rules.append((_compiled(pattern), not text.startswith("!")))
        self._takes_back = not all(ignores for _, ignores in self._rules)

    def __call__(self, path: str, folder: bool = False) -> bool:
        if path == "Dockerfile" or (folder and self._takes_back):
            return False
        found = False
        for pattern, ignores in self._rules:
            if pattern.fullmatch(path):
                found = ignores
        return found


def read(folder: Path) -> Ignored:
    """Read the file in this folder, if there is one."""
    try:
        return Ignored((folder / ".dockerignore").read_text("utf-8").splitlines())
    except (OSError, UnicodeError):
        return Ignored()


def _compiled(pattern: str) -> re.Pattern[str]:
    text = ""
    for part in re.findall(r"\*\*/?|\*|\?|\[[^\]]*\]|\\.|.", pattern):
        if part.startswith("**"):
            text += "(?:.*/)?" if part.endswith("/") else ".*"
        elif part in ("*", "?"):
            text += "[^/]*" if part == "*" else "[^/]"
        elif part.startswith("[") and len(part) > 2:
            text += part
        else:
            text += re.escape(part.removeprefix("\\") or part)
    return re.compile(f"{text}(?:/.*)?", re.DOTALL)
