"""The runner of the docs' examples refuses what it should."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.pages import Block, anchors, blocks, links

from docs import test_pages


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def test_a_page_is_read_block_by_block(page: Path) -> None:
    page.write_text(
        "a\n```python\nx = 1\n```\n<!-- run\nassert x\n-->\n<!-- not run: it deletes -->\n```sh\nrm x\n```\n"
    )
    assert blocks(page) == [
        Block("python", "x = 1", 3, True),
        Block("python", "assert x", 6, True),
        Block("sh", "rm x", 10, False),
    ]


def test_a_block_without_a_reason_is_run(page: Path) -> None:
    page.write_text("<!-- not run: -->\n```sh\nrm x\n```\n")
    assert [block.run for block in blocks(page)] == [True]


def test_a_block_that_is_never_closed_is_told(page: Path) -> None:
    page.write_text("```python\nx = 1\n")
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        blocks(page)


def test_links_and_anchors(page: Path) -> None:
    page.write_text("# One & `two`\n[a](b.md#c) [site](https://x.example) [d](#one--two)\n```text\n[no](link)\n```\n")
    assert links(page) == ["b.md#c", "#one--two"]
    assert anchors(page) == {"one--two"}


@pytest.mark.parametrize(
    "command",
    [
        "tidemill deploi",
        "tidemill dev --prot 8288",
        "tidemill send --fiel x",
        "make demmo",
        'curl "http://127.0.0.1:8288/v1/run"',
        'curl -X DELETE "http://127.0.0.1:8288/v1/events"',
        "curl http://elsewhere.example/",
        "rm -rf x",
    ],
)
def test_a_command_that_is_none_is_refused(page: Path, command: str) -> None:
    page.write_text(f"```sh\n{command}\n```\n")
    with pytest.raises(AssertionError):
        test_pages.test_commands_exist(page)


def test_python_that_fails_fails_the_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.write_text("```python\nx = 1\n```\n<!-- run\nassert x == 2\n-->\n")
    with pytest.raises(AssertionError):
        test_pages.test_python_runs(page, tmp_path, monkeypatch)


def test_links_that_lead_nowhere_fail_the_page(page: Path) -> None:
    for link in ("nothing.md", "#nothing"):
        page.write_text(f"# Page\n[a]({link})\n")
        with pytest.raises(AssertionError):
            test_pages.test_links_lead_somewhere(page)
