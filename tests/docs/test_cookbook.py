"""The recipes of docs/guides/cookbook: test_pages.py runs their code; here, that each has code and a claim about it."""

from __future__ import annotations

import re

import pytest
from docs.pages import DOCS

PAGES = sorted((DOCS / "guides" / "cookbook").glob("*.md"))
RECIPES = {
    f"{page.stem}: {recipe.partition(chr(10))[0]}": recipe
    for page in PAGES
    for recipe in page.read_text("utf-8").split("\n## ")[1:]
}


def test_there_are_twenty_at_least() -> None:
    assert len(RECIPES) >= 20
    assert "Twenty-three recipes" in (DOCS / "guides" / "cookbook.md").read_text("utf-8")
    assert len(RECIPES) == 23


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_a_recipe_shows_a_function_and_its_outcome_is_asserted_in_a_mill(recipe: str) -> None:
    shown = "\n".join(re.findall(r"^```python\n(.*?)^```$", recipe, re.MULTILINE | re.DOTALL))
    hidden = "\n".join(re.findall(r"^<!-- run\n(.*?)^-->$", recipe, re.MULTILINE | re.DOTALL))
    assert "def " in shown
    assert "with Mill(" in hidden
    assert "assert " in hidden
