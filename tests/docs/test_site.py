"""The documentation's site: what is on it, and that the builder finds a broken link. `make docs` builds it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from docs.pages import DOCS, PAGES, ROOT

import tidemill

_spec = importlib.util.spec_from_file_location("docs_site_build", DOCS / "site" / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    build.Site(folder).write()
    return folder


def test_every_page_is_in_the_navigation() -> None:
    flat = re.findall(r'"([^"]+\.md)"', build._toml(build.navigation()))
    assert [
        str(page.relative_to(DOCS))
        for page in PAGES
        if DOCS in page.parents and flat.count(str(page.relative_to(DOCS))) != 1
    ] == []
    assert len([page for page in flat if page.startswith("decisions/")]) == len([*(DOCS / "decisions").glob("*.md")])


def test_decisions_are_numbered_from_one_each_once() -> None:
    pages = sorted((DOCS / "decisions").glob("*.md"))
    assert [int(page.name[:4]) for page in pages] == [*range(1, len(pages) + 1)]
    assert [page.name for page in pages if not page.read_text("utf-8").startswith(f"# {int(page.name[:4])}. ")] == []


def test_every_link_of_a_page_leads_to_a_page_of_the_site(pages: Path) -> None:
    for page in pages.rglob("*.md"):
        for link, _anchor in build._LINK.findall(build._FENCED.sub("", page.read_text("utf-8"))):
            assert "://" in link or (page.parent / link).is_file(), f"{page.relative_to(pages)} links to {link}"


def test_what_the_reader_does_not_see_is_left_out(pages: Path) -> None:
    assert "<!-- run" in (ROOT / "docs" / "guides" / "testing.md").read_text("utf-8")
    assert [
        str(page)
        for page in pages.rglob("*.md")
        if "source" not in page.parts and "<!-- run\n" in page.read_text("utf-8")
    ] == []


def test_a_linked_program_is_shown(pages: Path) -> None:
    shown = (pages / "source" / "examples" / "coordination" / "onboarding-py.md").read_text("utf-8")
    assert (ROOT / "examples" / "coordination" / "onboarding.py").read_text("utf-8") in shown


def test_a_linked_folder_is_shown_by_its_readme(pages: Path) -> None:
    assert "](source/examples/README.md)" in (pages / "index.md").read_text("utf-8")
    assert (pages / "source" / "examples" / "README.md").read_text("utf-8").startswith("# Examples")
    assert "](" in (pages / "source" / "examples" / "limits" / "index.md").read_text("utf-8")  # one without: its files


def test_the_builder_s_warnings_are_told_in_a_line_each() -> None:
    said = "\x1b[33mWarning:\x1b[0m page does not exist\n    \x1b[38m╭─[ guides/a.md:7:12 ]\n"
    said += "Traceback (most recent call last):\nRuntimeError: Aborted"
    assert build._problems(said) == ["docs: guides/a.md:7:12: page does not exist"]
    assert build._problems("no zensical") == ["no zensical"]


def test_the_python_reference_has_every_public_name() -> None:
    page = (DOCS / "reference" / "python.md").read_text("utf-8")
    shown = re.findall(r"^::: (\S+)$", page, re.MULTILINE)
    assert [name for name in tidemill.__all__ if f"tidemill.{name}" not in shown] == []
