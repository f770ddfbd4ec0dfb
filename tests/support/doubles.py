"""Test doubles for the clock, entropy and queue of a world: time moves only when a test moves it."""

from __future__ import annotations

from dataclasses import dataclass, field

NOW = 1_790_000_000_000  # 2026-09-21T14:13:20Z


@dataclass
class Clock:
    ms: int = NOW

    def now(self) -> int:
        return self.ms

    def sleep(self, ms: int) -> None:
        self.ms += ms


@dataclass
class Entropy:
    drawn: int = 0

    def random(self) -> float:
        return 0.5

    def bytes(self, count: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(count, "big")


@dataclass
class Queue:
    """Keeps what it is asked: `looks` holds (run, function, time)."""

    looks: list[tuple[str, str, int | None]] = field(default_factory=list[tuple[str, str, int | None]])

    def wake(self, run_id: str, function_id: str, at: int | None = None, loose: bool = False) -> None:
        self.looks.append((run_id, function_id, at))

    def forget(self, run_id: str) -> None:
        pass
