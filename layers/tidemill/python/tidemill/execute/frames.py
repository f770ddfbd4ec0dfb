"""Whose code a frame runs: the platform's, a library's or the user's."""

from __future__ import annotations

import sys
import sysconfig
from types import FrameType

_PLATFORM = frozenset({"tidemill", "tidemill_lambdas", "tidemill_local", "tidemill_cdk"})
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")} | {"<frozen "})
_SITE = ("/site-packages/", "/dist-packages/", "\\site-packages\\")


def is_platform(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PLATFORM


def is_library(file: str) -> bool:
    """Whether a file came with Python or was installed: it is not what the user edits."""
    return file.startswith(_INSTALLED) or any(part in file for part in _SITE)


def called_at() -> str:
    """Where the user's code called the platform, as `file:line`."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  (a stack costs 100 times as much)
    while frame is not None and is_platform(frame):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"
