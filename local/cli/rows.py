"""Prints lists: a table for people, one JSON object per line for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill_local.cli import text
from tidemill_local.cli.stop import DONE

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterable


def show(
    options: Namespace, found: Iterable[dict[str, Any]], table: Callable[[list[dict[str, Any]]], str], nothing: str
) -> int:
    """Print the rows; JSON is printed page by page."""
    if options.json:
        for row in found:
            print(text.compact(row))
        return DONE
    rows = list(found)
    print(table(rows) if rows else nothing)
    return DONE
