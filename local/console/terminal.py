"""Cleans text from others for a terminal: it cannot move the cursor, set a color or a title, or hide other text."""

from __future__ import annotations


def clean(text: object) -> str:
    """The text on one line, with escapes for characters that a terminal does not print."""
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in plain)


def clean_lines(text: object) -> str:
    """Like `clean`, but keeps line breaks and tabs."""
    return "\n".join("\t".join(clean(part) for part in line.split("\t")) for line in str(text).split("\n"))
