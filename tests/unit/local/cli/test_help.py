"""Every command has an example that works, and no command or option is missing from docs/reference/cli*.md."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill_local.cli import VERBS, main, parser
from tidemill_local.cli.parser import Parser

REFERENCE = Path(__file__).parents[4] / "docs" / "reference"
PAGE = "\n".join((REFERENCE / name).read_text("utf-8") for name in ("cli.md", "cli-data.md"))


def commands(of: Parser, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Parser]]:
    """Every command by its words; those that only lead to others, too."""
    yield words, of
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, sub in action.choices.items():
                yield from commands(sub, (*words, name))


COMMANDS = dict(commands(parser(list(VERBS))))
LEAVES = {words: command for words, command in COMMANDS.items() if command._defaults.get("do") is not None}


def section(words: tuple[str, ...]) -> str:
    """What the page says about a verb."""
    sections = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    return next(text for text in sections if re.match(rf"tidemill .*\b{words[0]}\b", text))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_ends_with_an_example_of_the_command(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    example = shown[shown.index("example:\n") :].splitlines()[1]
    program, *arguments = shlex.split(example)
    assert program == "tidemill"
    assert tuple(arguments[: len(words)]) == words
    parser(list(VERBS)).parse_args(arguments)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_is_documented(words: tuple[str, ...]) -> None:
    assert f"tidemill {' '.join(words)}" in section(words)


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_option_is_documented(words: tuple[str, ...]) -> None:
    general = section(("dev",)) if words == ("dev",) else PAGE[: PAGE.index("\n## tidemill")]
    options = [
        name for action in LEAVES[words]._actions for name in action.option_strings if name not in ("-h", "--help")
    ]
    missing = [name for name in options if f"`{name}`" not in section(words) and f"`{name}`" not in general]
    assert missing == []


def test_every_option_of_the_page_exists() -> None:
    known = {name for command in COMMANDS.values() for action in command._actions for name in action.option_strings}
    assert set(re.findall(r"`(--[a-z-]+)`", PAGE)) <= known


def test_every_option_says_what_it_does() -> None:
    silent = [
        (words, action.dest)
        for words, command in COMMANDS.items()
        for action in command._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert silent == []


def test_the_page_names_every_exit_code() -> None:
    from tidemill_local.cli import stop

    codes = {value for name, value in vars(stop).items() if name.isupper()}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, flags=re.MULTILINE)} == codes


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"tidemill \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_help_offers_nothing_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    for words in COMMANDS:
        with pytest.raises(SystemExit):
            main([*words, "--help"])
        assert "later version" not in capsys.readouterr().out
    assert "later version" not in PAGE


def test_commands_stand_in_one_column_with_what_they_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.get_terminal_size", lambda: os.terminal_size((80, 24)))
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    listed = shown[shown.index("commands:\n") : shown.index("example:")].splitlines()[1:-1]
    named = [line.split() for line in listed if line[2] != " "]
    assert [words[0] for words in named] == list(VERBS)
    assert all(len(words) > 1 for words in named)
    assert max(map(len, listed)) <= 80
