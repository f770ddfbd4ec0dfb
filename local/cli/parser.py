"""Parsers whose help carries one working example, and whose errors are one sentence."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, NoReturn, cast

from tidemill_local.cli.meant import meant
from tidemill_local.cli.stop import USAGE, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tidemill_local.cli.http import Api

    Do = Callable[[argparse.Namespace], int]
    Ask = Callable[[argparse.Namespace, Api], int]

DEFAULT_URL = "http://127.0.0.1:8288"
_LATEST = 253_402_300_799_999  # the last millisecond of the year 9999


class Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Formatter, **settings)
        self.register("type", None, _given)  # the type of every argument that names none
        self.example = ""
        self.hands_on = False  # all words are for another program: they go to `words` unparsed

    def format_help(self) -> str:
        self.epilog = f"example:\n  {self.example}" if self.example else None
        return super().format_help()

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # one signature for its overloads
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        words = list(args or ())
        asked = {"-h", "--help"} & set(words)
        if self.hands_on and not asked:
            namespace, words = argparse.Namespace(words=words), []
        found, rest = super().parse_known_args(words, namespace)
        if rest:
            self.error(f"{rest[0]!r} is not known here{meant(rest[0].partition('=')[0], self._option_string_actions)}")
        return found, rest

    def actions(self) -> list[argparse.Action]:
        """The parser's options and arguments, in order; its subcommands are one of them."""
        return self._actions

    def commands(self) -> dict[str, Parser]:
        """The parser's subcommands."""
        choices: list[object] = [action.choices for action in self._actions]
        found = [cast("dict[str, Parser]", one) for one in choices if isinstance(one, dict)]
        return found[0] if found else {}

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        commands = action.choices
        if isinstance(commands, dict) and value not in commands:
            self.error(f"there is no command {value!r}{meant(value, cast('dict[str, Any]', commands))}")
        super()._check_value(action, value)

    def error(self, message: str) -> NoReturn:
        verb = self.prog.removeprefix("tidemill").strip()
        stop = "" if message.endswith("?") else ";"
        raise Stop(USAGE, (f"{verb}: " if verb else "") + f"{message}{stop} {self.prog} --help shows how")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """argparse makes one for every option, so it does not import shutil for the terminal's width."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, max_help_position=28, width=_width(), **settings)

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action.choices, dict):  # subcommands: the title describes them
            self._dedent()
            shown = "".join(map(self._format_action, self._iter_indented_subactions(action)))
            self._indent()
            return shown
        return super()._format_action(action)


def _width() -> int:
    try:
        return min(os.get_terminal_size().columns, 120) - 2
    except OSError:
        return 100


def does(parser: Parser, do: Do, example: str) -> Parser:
    """Describe a command: its summary, and an example that works as it is."""
    parser.set_defaults(do=do)
    parser.example = example
    return parser


def group(parser: Parser, example: str) -> Callable[[str, str], Parser]:
    """Add subcommands to a verb; returns a function that adds one, `add(name, summary)`."""
    parser.example = example
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", required=True)

    def add(name: str, summary: str) -> Parser:
        sub: Parser = subparsers.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        return sub

    return add


def asks(parser: Parser, do: Ask, example: str, *, sends: bool = False) -> Parser:
    """Like `does`, for a command that calls a server: adds the options, and closes the connection at the end."""
    options = parser.add_argument_group("server")
    options.add_argument(
        "--url",
        default=os.environ.get("TIDEMILL_URL") or DEFAULT_URL,
        help=f"where Tidemill answers (or TIDEMILL_URL; default: {DEFAULT_URL})",
    )
    options.add_argument(
        "--key", type=str, default=os.environ.get("TIDEMILL_API_KEY") or "", help="an API key (or TIDEMILL_API_KEY)"
    )
    if sends:
        options.add_argument(
            "--event-key",
            default=os.environ.get("TIDEMILL_EVENT_KEY") or "dev",
            help="an event key (or TIDEMILL_EVENT_KEY; default: dev)",
        )

    def connected(given: argparse.Namespace) -> int:
        from tidemill_local.cli.http import Api

        with Api(given.url, given.key, getattr(given, "event_key", "")) as server:
            return do(given, server)

    return does(parser, connected, example)


def prints_json(parser: Parser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=f"for programs: {what}")


def lists(parser: Parser) -> None:
    parser.add_argument(
        "--after", type=_time, metavar="TIME", help="only what is newer (ISO 8601, or epoch milliseconds)"
    )
    parser.add_argument("--before", type=_time, metavar="TIME", help="only what is older")
    parser.add_argument("--order", choices=("newest", "oldest"), help="which come first (newest)")
    parser.add_argument("--limit", type=count, default=50, metavar="N", help="at most so many (50)")


def _given(text: str) -> str:
    """The type of a name, an id or a file: not empty, and without a NUL, which would cause unclear errors later."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty; leave it out, or write what it is to be")
    if "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} has a NUL character, which no name has")
    return text


def _time(text: str) -> str:
    """The type of a time that the API reads: ISO 8601, or milliseconds since the epoch."""
    from tidemill import duration

    try:
        whole = _given(text).isascii() and text.isdigit()
        if (int(text) if whole else duration.parse_time(text)) <= _LATEST:
            return text
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(
        f"{text!r} is not a time, in ISO 8601 (2026-11-01T09:00:00Z) or in milliseconds since the epoch"
    )


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)
