"""What a page of documentation holds that can be run.

A page is README.md, that of examples/, or a Markdown file of docs/ that is no decision record. Its fenced blocks are
of these kinds:

    python      run, in the page's order, in one module per page
    sh          each `tidemill` command must parse, each `make` target and each path of a `curl` must exist
    json toml   must parse
    js go ruby  whole programs, run against `tidemill dev` (test_send_events.py)
    text        a diagram, or what a program printed: nothing to run

`<!-- run` … `-->` is Python that the reader does not see: what blocks need, and what they claim. A block that
is not run has `<!-- not run: the reason -->` on the line before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
BENCH = ROOT / "bench"
PAGES = [
    ROOT / "README.md", ROOT / "examples" / "README.md",
    *sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "decisions"),
]  # fmt: skip
KINDS = ("python", "sh", "json", "toml", "text", "js", "go", "ruby")

_FENCE = re.compile(r"^\s*```(\S*)")
_NOT_RUN = re.compile(r"^\s*<!-- not run: \S.*-->\s*$")


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    line: int  # of its first line of text
    run: bool


def blocks(page: Path) -> list[Block]:
    """The page's blocks, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").split("\n")
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if fence is not None or lines[at] == "<!-- run":
            closing = "```" if fence is not None else "-->"
            end = next((i for i in range(at + 1, len(lines)) if lines[i].strip() == closing), None)
            assert end is not None, f"{page.name}:{at + 1}: the block is never closed"
            kind = fence.group(1) if fence is not None else "python"
            skipped = at > 0 and _NOT_RUN.match(lines[at - 1]) is not None
            found.append(Block(kind, "\n".join(lines[at + 1 : end]), at + 2, not skipped))
            at = end
        at += 1
    return found


def links(page: Path) -> list[str]:
    """The targets of its links, but those to other sites."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """What `#…` may follow the page's name: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def prose(page: Path) -> str:
    """What its reader reads, tables among it; what is fenced or hidden is code."""
    return re.sub(r"<!--.*?-->|^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def words(page: Path) -> int:
    return len([word for word in prose(page).split() if re.search(r"\w", word)])
