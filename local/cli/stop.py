"""How a command ends early: one sentence and an exit code.

The codes are few, so that a script can tell them apart without reading the sentence. The table is in
docs/reference/cli.md.
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
FAILED: Final = 1  # what was asked for did not succeed: a run failed, nothing has this id, the server refused
USAGE: Final = 2  # the command line makes no sense
UNREACHABLE: Final = 3  # nothing answers there, or what answers is no Tidemill
INTERRUPTED: Final = 130  # Ctrl-C, as shells have it: 128 + SIGINT
NO_READER: Final = 141  # whoever read the output has gone: 128 + SIGPIPE


class Stop(Exception):
    """Ends the command. The sentence is for people, and says what to do; it may be empty."""

    def __init__(self, code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
