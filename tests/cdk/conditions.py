"""Random conditions of triggers, the same in every process: half of them compare with null."""

from __future__ import annotations

import random

COUNT = 40
_LITERALS = ("null", "'a'", "'b'", "true", "3", "null")


def conditions() -> list[str]:
    lots = random.Random(7)
    return ["event.data.x in [null, 'a']", "event.data.gone == null", *(_condition(lots) for _ in range(COUNT - 2))]


def _condition(lots: random.Random) -> str:
    joined = " && " if lots.random() < 0.7 else " || "
    return joined.join(_atom(lots) for _ in range(lots.randint(1, 4)))


def _atom(lots: random.Random) -> str:
    path = f"event.data.{lots.choice('xyz')}"
    if lots.random() < 0.5:
        return f"{path} in [{', '.join(lots.sample(_LITERALS, lots.randint(1, 3)))}]"
    return f"{path} {lots.choice(('==', '==', '!='))} {lots.choice(_LITERALS)}"
