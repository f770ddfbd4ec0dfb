"""Build the documentation's site from docs/: `make docs`.

The pages are Markdown that reads well in the repository. A link of theirs may lead out of docs/, to a test or an
example; on the site such a target becomes a page below `source/`. The navigation is what docs/index.md links to, in
its order, under its headings. A link that leads nowhere fails the build.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_HIDDEN = re.compile(r"^<!-- (?:run$.*?^-->|not run:.*?-->|table:.*?-->|end -->)\n", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)([^)\s]*)\)")
_LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".sh": "sh"}


def main() -> int:
    made = ROOT / "build" / "docs"
    shutil.rmtree(made, ignore_errors=True)
    Site(made / "pages").write()
    settings = (DOCS / "site" / "zensical.toml").read_text("utf-8")
    nav = f"nav = {_toml(navigation())}\n"
    (made / "zensical.toml").write_text(settings.replace("[project]\n", f"[project]\n{nav}", 1), "utf-8")
    command = [ROOT / ".site" / "bin" / "zensical", "build", "--strict", "--clean"]
    environment = {**os.environ, "NO_COLOR": "1"}
    built = subprocess.run(command, cwd=made, env=environment, capture_output=True, text=True, check=False)
    if built.returncode:
        print(*_problems(built.stdout + built.stderr), sep="\n", file=sys.stderr)
    return built.returncode


def _problems(said: str) -> list[str]:
    """A line for each warning, with its page; all that the builder said where something else went wrong."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    found = re.findall(r"Warning: (.*)\n.*\[ (\S+) \]", plain)
    alone = plain.count("Traceback") == 1  # that of the builder's own end
    return [f"docs: {place}: {problem}" for problem, place in found] if alone and found else [plain]


class Site:
    """The pages of docs/, and of all that they link to outside of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outside: dict[Path, str] = {}  # what is linked to, and the page that it becomes

    def write(self) -> None:
        for source in sorted(path for path in DOCS.rglob("*") if path.is_file() and DOCS / "site" not in path.parents):
            self._put(source, str(source.relative_to(DOCS)))
        done: set[Path] = set()
        while todo := self._outside.keys() - done:
            for source in sorted(todo):
                self._put(source, self._outside[source])
            done |= todo

    def _put(self, source: Path, name: str) -> None:
        target = self._folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".md"):
            target.write_text(self._text(source, name), "utf-8")
        else:
            shutil.copyfile(source, target)

    def _text(self, source: Path, name: str) -> str:
        if source.is_dir():
            return self._listing(source, name)
        text = source.read_text("utf-8")
        if source == DOCS / "reference" / "http-reference.md":
            text = text.replace("<!-- every call -->", f"<div>{_calls()}</div>")
        if source.suffix == ".md":
            return self._linked(_HIDDEN.sub("", text), source.parent, name)
        return f"# {source.relative_to(ROOT)}\n\n````{_LANGUAGES.get(source.suffix, 'text')}\n{text}\n````\n"

    def _listing(self, folder: Path, name: str) -> str:
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".pyc"]
        lines = [f"- [{path.name}]({self._page(path, name)})" for path in files]
        return "\n".join([f"# {folder.relative_to(ROOT)}", "", *lines, ""])

    def _linked(self, text: str, folder: Path, name: str) -> str:
        """The text with its links as they are on the site; what is fenced stays."""
        parts = _FENCED.split(text)
        fences = [*_FENCED.findall(text), ""]
        linked = [_LINK.sub(lambda link: self._link(link[1], link[2], folder, name), part) for part in parts]
        return "".join(part + fence for part, fence in zip(linked, fences, strict=True))

    def _link(self, path: str, anchor: str, folder: Path, name: str) -> str:
        target = (folder / path).resolve()
        if "://" in path or not target.exists():
            return f"]({path}{anchor})"
        return f"]({self._page(target, name)}{anchor})"

    def _page(self, target: Path, name: str) -> str:
        """The page of a target, relative to the page `name`; of a folder its README.md, if it has one."""
        if (target / "README.md").is_file():
            target /= "README.md"
        if DOCS in target.parents:
            page = str(target.relative_to(DOCS))
        else:
            below = target.relative_to(ROOT)
            page = f"source/{below}/index.md" if target.is_dir() else f"source/{below.with_suffix('')}{_end(target)}.md"
            self._outside[target] = page
        return os.path.relpath(page, Path(name).parent)


def _end(target: Path) -> str:
    """Two files of one folder may differ in their suffix alone."""
    return target.suffix.replace(".", "-") if target.suffix != ".md" else ""


def _calls() -> str:
    """The HTTP reference as `tidemill dev` shows it."""
    from tidemill_local.http import reference

    return reference.body(json.loads((ROOT / "lambdas" / "api" / "openapi.json").read_text("utf-8")))


def navigation() -> list[object]:
    """What docs/index.md links to, under its headings; the decision records come last."""
    nav: list[object] = ["index.md"]
    for section in (DOCS / "index.md").read_text("utf-8").split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        pages = [link for link, _anchor in _LINK.findall(text) if link.endswith(".md") and not link.startswith("..")]
        nav.append({heading: list(dict.fromkeys(pages))})
    nav.append({"Decisions": sorted(f"decisions/{page.name}" for page in (DOCS / "decisions").glob("*.md"))})
    return nav


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {_toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return f'"{value}"'


if __name__ == "__main__":
    sys.exit(main())
