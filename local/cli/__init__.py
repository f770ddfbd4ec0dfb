"""The command line: `tidemill VERB …`, one module per verb.

A verb's module is imported when the verb is used, and its dependencies (HTTP, the engine, the user's code) when it
runs: `tidemill send` starts in the time that Python takes to start.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

from tidemill_local.cli.parser import Parser
from tidemill_local.cli.stop import FAILED, INTERRUPTED, NO_READER, USAGE, Stop
from tidemill_local.console.terminal import clean_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

VERBS = {
    "dev": "run everything on this machine, and reload on change",
    "init": "write a first app with its test, ready for tidemill dev",
    "send": "send an event, or many from a file, and watch what they start",
    "invoke": "start one function directly",
    "runs": "list, show, explain, cancel and rerun runs, and their logs",
    "events": "list, show, export and validate events, compare their schemas",
    "functions": "list, show, pause and resume functions",
    "versions": "check new code against the runs that it will meet",
    "manifest": "print what apps declare, as JSON",
    "completion": "complete commands, options and names in bash, zsh or fish",
    "cost": "say what an app will cost in AWS",
    "deploy": "deploy to AWS",
    "diff": "show what a deploy would change",
    "destroy": "remove a deployment from AWS",
}

COMPLETE = "__complete"  # the command that a shell calls for completions (see `completion`)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code (see `stop`); never shows a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    _speak_any_text()
    try:
        try:
            return _run(words)
        finally:
            sys.stdout.flush()
    except Stop as stop:
        _say(stop.sentence)
        return stop.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _drop_output()
        return NO_READER
    except Exception as error:
        if os.environ.get("TIDEMILL_DEBUG"):
            raise
        _say(f"this should not have happened ({type(error).__name__}: {error}); TIDEMILL_DEBUG=1 shows where")
        return FAILED


def parser(verbs: Sequence[str]) -> Parser:
    """The parser of the whole command line, in which these verbs have their options."""
    root = Parser(prog="tidemill", description="Event-driven queues and durable execution.")
    root.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    subparsers = root.add_subparsers(dest="verb", metavar="COMMAND", title="commands", required=True)
    for verb, summary in VERBS.items():
        sub: Parser = subparsers.add_parser(verb, help=summary, description=_sentence(summary))
        if verb in verbs:
            _fill(sub, verb)
    root.example = "tidemill dev"
    return root


def _run(words: list[str]) -> int:
    if not words:
        parser(()).print_help()
        return USAGE
    verb = words[0]
    if verb == COMPLETE:
        from tidemill_local.cli.complete import show

        return show(words[1:])
    # Only this one: building all parsers takes longer than most commands.
    options = of_verb(verb).parse_args(words[1:]) if verb in VERBS else parser(()).parse_args(words)
    code: int = options.do(options)
    return code


def of_verb(verb: str) -> Parser:
    """The parser of one verb."""
    made = Parser(prog=f"tidemill {verb}", description=_sentence(VERBS[verb]))
    _fill(made, verb)
    return made


def _fill(parser: Parser, verb: str) -> None:
    importlib.import_module(f"tidemill_local.cli.{verb}").fill(parser)


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


class _Version(argparse.Action):
    """Looks up the version only for `--version`: that costs more than everything else here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"tidemill {version('tidemill')}")
        parser.exit()


def _speak_any_text() -> None:
    """Print characters that the terminal's encoding lacks as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _say(sentence: str) -> None:
    if sentence:
        print(f"tidemill: {clean_lines(sentence)}", file=sys.stderr)


def _drop_output() -> None:
    """The reader has gone: discard the interpreter's last flush."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
