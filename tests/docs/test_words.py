"""Comments and docstrings of the code use the field's words, as the pages do."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

import pytest
from docs.pages import ROOT
from docs.words import IN_CODE, WORDS

SOURCES = [
    path for room in ("layers", "lambdas", "cdk", "local", "bench") for path in sorted((ROOT / room).rglob("*.py"))
]
EVERY_WORD = {**WORDS, **IN_CODE}


def prose(source: str) -> Iterator[tuple[int, str]]:
    """The comments and docstrings of a module, each with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield node.body[0].lineno, " ".join(text.split())


@pytest.mark.parametrize("wrong", EVERY_WORD)
def test_comments_use_the_field_s_words(wrong: str) -> None:
    pattern = re.compile(wrong, re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {match[0]}"
        for path in SOURCES
        for line, text in prose(path.read_text(encoding="utf-8"))
        if (match := pattern.search(text))
    ]
    assert found == [], f"{EVERY_WORD[wrong]}"


def test_prose_finds_comments_and_docstrings_and_no_other_text() -> None:
    source = '"""A."""\nx = "b"  # c\n\n\ndef f():\n    """D\n\n    e."""\n'
    assert sorted(prose(source)) == [(1, "A."), (2, "# c"), (6, "D e.")]
