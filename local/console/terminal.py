"""Text that others wrote, for a terminal: it cannot move the cursor, set a colour or a title, or hide what follows."""

from __future__ import annotations


def clean(text: object) -> str:
    """On one line: whatever a terminal does not print is written as an escape."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in plain)


def clean_lines(text: object) -> str:
    """As `clean`; lines stay lines, and tabs tabs."""
    return "\n".join("\t".join(clean(part) for part in line.split("\t")) for line in str(text).split("\n"))
