"""Tables and facts for people, laid out by rich: aligned, and on a terminal no wider than it.

Rich takes 50 ms to import: a command imports this module when it has something to lay out. Every cell is cleaned
and passed as plain text, so that text from others is not markup.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, TypedDict

from rich.console import Console, RenderableType
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from tidemill_local.cli import text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Unpack

_UNBOUNDED = 1_000_000  # columns, where a program or a file reads
_GAP = 2
_STYLES = {
    "RUN": "cyan", "EVENT": "cyan", "FUNCTION": "bold", "STEP": "bold",
    "KIND": "dim", "CREATED": "dim", "RECEIVED": "dim", "TOOK": "dim",
}  # fmt: skip
_JSON = frozenset({"event", "data", "output"})  # facts whose values are shown in the colors of JSON


class Layout(TypedDict, total=False):
    """Columns by name: `cut` and `wrap` are narrowed if the terminal lacks room. `head`: the header is shown."""

    cut: Sequence[str]
    wrap: Sequence[str]
    right: Sequence[str]
    head: bool


def table(header: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "", **layout: Unpack[Layout]) -> str:
    """Aligned columns. If the terminal lacks room, those of `cut` and `wrap` are narrowed, the widest first."""
    cut, wrap, right = layout.get("cut", ()), layout.get("wrap", ()), layout.get("right", ())
    head = layout.get("head", True)
    cells = [[text.clean(cell) for cell in row] for row in rows]
    if not text.columns():
        return _plain([list(header), *cells] if head else cells, indent, [name in right for name in header])
    made = Table(box=None, show_header=head, header_style="dim", pad_edge=False, padding=(0, _GAP, 0, 0))
    for name in header:
        narrowed = name in cut or name in wrap
        title = Text(name, no_wrap=True, overflow="ellipsis")  # one line, however narrow: callers pair lines with rows
        made.add_column(title, no_wrap=not narrowed, overflow="fold", justify="right" if name in right else "left")
    for row in cells:
        made.add_row(*(_cell(name, cell, name in wrap) for name, cell in zip(header, row, strict=True)))
    return _drawn(made, indent)


def facts(pairs: Iterable[tuple[str, str]], width: int = 9) -> str:
    """Names and values, one pair per line; a long value continues below its start."""
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column(min_width=width, style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, fact in pairs:
        made.add_row(Text(text.clean(name)), _fact(name, fact))
    return _drawn(made)


def wrapped(line: str, width: int) -> list[str]:
    """A line, wrapped between words to a number of columns; all lines have its indent."""
    words = line.lstrip(" ")
    indent = line[: len(line) - len(words)]
    room = max(width - len(indent), 20)
    return [indent + part.plain.rstrip() for part in Text(words).wrap(Console(width=room), room)]


def _fact(name: str, fact: str) -> Text:
    """`fact` may contain the colors of `text.colored`: it is clean already."""
    made = Text.from_ansi(fact) if "\x1b" in fact else Text(fact)
    if name in _JSON:
        JSONHighlighter().highlight(made)
    return made


def _plain(rows: list[list[str]], indent: str, right: list[bool]) -> str:
    """A table for a program or a file, without narrowing, for up to 100,000 rows: rich would take 0.8 ms a row."""
    widths = [max(map(text.width, column)) for column in zip(*rows, strict=True)]

    def padded(cell: str, to: int, right: bool) -> str:
        pad = " " * (to - text.width(cell))
        return pad + cell if right else cell + pad

    lines = (map(padded, row, widths, right) for row in rows)
    return "\n".join(indent + (" " * _GAP).join(line).rstrip() for line in lines)


def _cell(name: str, plain: str, wrap: bool) -> Text:
    style = text.color_of(plain) if name == "STATUS" else _STYLES.get(name, "")
    return Text(plain, style=style) if wrap else Text(plain, style=style, no_wrap=True, overflow="ellipsis")


def _drawn(made: RenderableType, indent: str = "") -> str:
    room = text.columns()
    out = io.StringIO()
    console = Console(
        file=out,
        width=max(room - len(indent), 20) if room else _UNBOUNDED,
        color_system="standard" if text.colors() else None,
        force_terminal=text.colors(),
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
    )
    console.print(made)
    return "\n".join((indent + line).rstrip() for line in out.getvalue().rstrip("\n").split("\n"))
