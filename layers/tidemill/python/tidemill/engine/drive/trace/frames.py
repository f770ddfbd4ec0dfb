"""Decides whose code a frame runs: the platform's, a library's or the user's."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from types import FrameType

_PLATFORM = frozenset({"tidemill", "tidemill_lambdas", "tidemill_local", "tidemill_cdk"})
_HERE = __file__.rpartition("tidemill")[0]  # the folder in which the platform's packages are
_LIBRARY = re.compile(r"[\\/](?:(?:site|dist)-packages|lib[\\/]python3\.\d+)[\\/]|^/opt/python/|^<frozen ")


def is_platform(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PLATFORM


def is_platform_file(file: str) -> bool:
    return file.startswith(_HERE) and re.split(r"[\\/]", file[len(_HERE) :], maxsplit=1)[0] in _PLATFORM


def is_library(file: str) -> bool:
    """Whether a file came with Python, or was installed: it is not what the user edits."""
    return _LIBRARY.search(file) is not None


def called_at() -> str:
    """Where the user's code called the platform, as `file:line`."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  (a stack costs 100 times as much)
    while frame is not None and is_platform(frame):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else "an unknown place"


def users_line() -> str:
    """The innermost line of the user's own code that is at work here, as `file:line`; "" where there is none."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and (is_platform(frame) or is_library(frame.f_code.co_filename)):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""


def declared_at(fn: Callable[..., object]) -> str:
    """Where a function of the user's is declared, as `file:line`."""
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
