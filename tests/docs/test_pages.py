"""Every example in README.md and docs/ runs, and every link leads somewhere. What a page may hold: see pages.py."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import botocore.session
import pytest
from botocore import xform_name
from docs.pages import BENCH, DOCS, KINDS, PAGES, ROOT, anchors, blocks, links, prose, words
from docs.words import WORDS

from tidemill_local.cli import VERBS, parser
from tidemill_local.cli.stop import Stop

MOST_WORDS = 1_500
PROTOCOL = "docs/internals/journal.md"
URLS = ("http://127.0.0.1:8288", "$TIDEMILL_URL")
NOT_RUN = ["from-celery.md", "from-inngest.md", "from-temporal.md"]  # code for other platforms, beside ours


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(params=PAGES, ids=_name)
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = [block for block in blocks(page) if block.kind == "python" and block.run]
    if not code:
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.setenv("TIDEMILL_EXAMPLES", str(tmp_path))
    module = ModuleType(re.sub(r"\W", "_", f"page_{page.stem}"))
    module.__file__ = str(page)
    monkeypatch.setitem(sys.modules, module.__name__, module)  # where the journal finds the page's classes again
    for block in code:
        source = "\n" * (block.line - 1) + block.text
        exec(compile(source, str(page), "exec"), module.__dict__)  # what the page shows is what is run


def test_commands_exist(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "sh" and block.run:
            for command in _commands(block.text):
                _check(command, f"{page.name}:{block.line}")


def test_data_parses(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "json" and block.run:
            json.loads(block.text)
        if block.kind == "toml" and block.run:
            tomllib.loads(block.text)


def test_blocks_are_of_a_known_kind(page: Path) -> None:
    for block in blocks(page):
        assert block.kind in KINDS, f"{page.name}:{block.line}: a block is one of {', '.join(KINDS)}"


def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}, which has no such heading"


def test_the_index_leads_to_every_page() -> None:
    index = DOCS / "index.md"
    linked = {(DOCS / link).resolve() for link in links(index)}
    assert [_name(page) for page in PAGES if DOCS in page.parents and page not in {*linked, index}] == []


@pytest.mark.parametrize("wrong", WORDS)
def test_pages_use_the_field_s_words(wrong: str) -> None:
    pattern = re.compile(wrong, re.IGNORECASE)
    assert {_name(page): found[0] for page in PAGES if (found := pattern.search(prose(page)))} == {}, WORDS[wrong]


def test_no_page_but_the_protocol_s_has_more_than_1500_words() -> None:
    counted = {_name(page): words(page) for page in [*PAGES, *BENCH.glob("*.md")]}
    assert {name: count for name, count in counted.items() if count > MOST_WORDS and name != PROTOCOL} == {}
    assert counted[PROTOCOL] > MOST_WORDS


def test_what_is_not_run_is_code_for_another_platform() -> None:
    skipped = [(page, block) for page in PAGES for block in blocks(page) if not block.run]
    assert [page.name for page, _ in skipped] == NOT_RUN
    for page, block in skipped:
        compile("\n" * (block.line - 1) + block.text, str(page), "exec")


def _commands(text: str) -> list[list[str]]:
    """The commands of a block, word by word; `&&` and `;` part them, and a backslash joins lines."""
    commands: list[list[str]] = []
    for line in text.replace("\\\n", " ").split("\n"):
        words: list[str] = []
        for word in [*shlex.split(line.removeprefix("$ "), comments=True), "&&"]:
            if word in ("&&", ";", "|"):
                commands.append(words)
                words = []
            else:
                words.append(word)
    return [words for words in commands if words]


def _check(command: list[str], where: str) -> None:
    while "=" in command[0]:  # VARIABLE=value before the command
        command = command[1:]
    program, *arguments = command
    if program == "tidemill":
        _check_tidemill(arguments, where)
    elif program == "make":
        targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert all("=" in word or word in targets for word in arguments), f"{where}: make has no target {arguments}"
    elif program == "curl":
        _check_curl(arguments, where)
    elif program == "aws":
        _check_aws(arguments, where)
    else:
        known = ("pip", "cd", "pytest", "kill", "source")
        assert program in known, f"{where}: what is {program}? Teach this test about it"


def _check_tidemill(arguments: list[str], where: str) -> None:
    if "--help" in arguments or "--version" in arguments:
        return
    try:
        parser(VERBS).parse_args(arguments)
    except (Stop, SystemExit) as stop:
        raise AssertionError(f"{where}: tidemill {shlex.join(arguments)} is refused: {stop}") from None


def _check_curl(arguments: list[str], where: str) -> None:
    described = json.loads((ROOT / "lambdas" / "api" / "openapi.json").read_text(encoding="utf-8"))["paths"]
    urls = [word for word in arguments if word.startswith(URLS)]
    assert len(urls) == 1, f"{where}: one URL of the dev server or of $TIDEMILL_URL, in quotes"
    path = next(urls[0].removeprefix(url) for url in URLS if urls[0].startswith(url)).partition("?")[0]
    method = (
        arguments[arguments.index("-X") + 1].lower() if "-X" in arguments else "post" if "-d" in arguments else "get"
    )
    found = [known for template, known in described.items() if _fits(template, path)]
    assert found, f"{where}: no call has the path {path}"
    assert any(method in known for known in found), f"{where}: {path} takes no {method}"


def _check_aws(arguments: list[str], where: str) -> None:
    """Against AWS's own descriptions: the service, the operation, and that it takes these options."""
    service, command, *options = arguments
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    assert command in operations, f"{where}: aws {service} has no {command}"
    shape = model.operation_model(operations[command]).input_shape
    known = {f"--{xform_name(name, '-')}" for name in (shape.members if shape else ())} | {"--query", "--output"}
    unknown = [word for word in options if word.startswith("--") and word not in known]
    assert not unknown, f"{where}: aws {service} {command} takes no {unknown}"


def _fits(template: str, path: str) -> bool:
    return re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path) is not None or (
        template.startswith("/w/") and path.startswith("/w/")
    )
