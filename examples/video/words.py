"""Words: which are frequent, and which sentences say the most.

The summary is extractive (Luhn, "The Automatic Creation of Literature Abstracts", 1958): a sentence is worth the
frequency of its significant words, for its length; the best are told in their order.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

_COMMON = frozenset(Path(__file__).with_name("common_words.txt").read_text(encoding="utf-8").split())
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[a-z][a-z'-]+")


def significant(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if word not in _COMMON]


def frequent(text: str, most: int) -> list[tuple[str, int]]:
    """The most frequent words and their counts; of equals, in the order of the alphabet."""
    return sorted(Counter(significant(text)).items(), key=lambda each: (-each[1], each[0]))[:most]


def summary(text: str, sentences: int) -> list[str]:
    """The sentences that say the most, in the order of the text."""
    counts = Counter(significant(text))
    told = _SENTENCE.split(text)

    def worth(number: int) -> float:
        words = significant(told[number])
        return sum(counts[word] for word in words) / (len(words) + 3)  # a short sentence is no summary

    best = sorted(range(len(told)), key=lambda number: (-worth(number), number))[:sentences]
    return [told[number] for number in sorted(best)]
