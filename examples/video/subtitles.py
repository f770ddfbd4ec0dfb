"""SubRip subtitles (.srt): numbered cues, each with its times and its text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

_TIMES = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{3}) --> (\d+):(\d\d):(\d\d)[,.](\d{3})")
_MARKUP = re.compile(r"<[^>]+>|\{[^}]+\}")


@dataclass(frozen=True)
class Cue:
    start: timedelta
    end: timedelta
    text: str


@dataclass(frozen=True)
class Transcript:
    cues: list[Cue]

    @property
    def text(self) -> str:
        return " ".join(cue.text for cue in self.cues)

    @property
    def length(self) -> timedelta:
        return self.cues[-1].end

    @property
    def longest_silence(self) -> timedelta:
        return max((after.start - cue.end for cue, after in pairwise(self.cues)), default=timedelta())


def parse(text: str) -> Transcript:
    """Raises ValueError with the number of the block that is no cue."""
    blocks = [block for block in re.split(r"\n\s*\n", text.lstrip("\ufeff").replace("\r\n", "\n")) if block.strip()]
    if not blocks:
        raise ValueError("there is no cue in it")
    return Transcript([_cue(block.strip().split("\n"), number) for number, block in enumerate(blocks, 1)])


def _cue(lines: list[str], number: int) -> Cue:
    times = _TIMES.fullmatch(lines[1].strip()) if len(lines) > 1 else None
    if times is None or not lines[0].strip().isdigit():
        raise ValueError(f"block {number} is no cue: a number, then '00:00:01,000 --> 00:00:04,000', then text")
    text = " ".join(_MARKUP.sub("", line).strip() for line in lines[2:])
    return Cue(_time(*times.groups()[:4]), _time(*times.groups()[4:]), " ".join(text.split()))


def _time(hours: str, minutes: str, seconds: str, milliseconds: str) -> timedelta:
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds), milliseconds=int(milliseconds))
