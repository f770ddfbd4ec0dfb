"""The exception that ends a command early, with one sentence and an exit code.

The codes are few, so that a script can tell them apart without reading the sentence. The table is in
docs/reference/cli.md.
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1  # the request failed: a failed run, an unknown id, a refusal of the server
USAGE: Final = 2  # the command line is invalid
UNREACHABLE: Final = 3  # no server answers, or one that is not Tidemill
INTERRUPTED: Final = 130  # Ctrl-C, as in shells: 128 + SIGINT
NO_READER: Final = 141  # the reader of the output has gone: 128 + SIGPIPE


class Stop(Exception):
    """Ends the command. The sentence is for people and says what to do; it may be empty."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
