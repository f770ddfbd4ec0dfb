"""What a process holds of journals: bounded, and never more than was read."""

from __future__ import annotations

from tidemill.model import Head
from tidemill.warm import Warm


def head(run_id: str = "r", due: int | None = 1, gathers: bool = False) -> Head:
    return Head(run_id, "shop.pay", "waiting", 0, due, gathers=gathers)


def test_only_what_follows_without_a_gap_is_given() -> None:
    warm = Warm(least=0)
    warm.opened(head(), 3, [b"3", b"4", b"5"])
    assert warm.after("r", 2) == [b"3", b"4", b"5"]
    assert warm.after("r", 4) == [b"5"]
    assert warm.after("r", 5) == warm.after("r", 9) == [], "not held yet"
    assert warm.after("r", 1) == warm.after("r", -1) == [], "held no more"
    assert warm.after("other", -1) == []


def test_a_journal_that_is_read_in_one_call_is_not_held() -> None:
    warm = Warm(least=100)
    warm.opened(head(), 0, [b"x" * 30])
    assert "r" not in warm
    warm.opened(head(), 0, [b"x" * 30, b"x" * 30])
    assert "r" in warm
    warm.opened(head(), 1, [b"x" * 30])
    assert "r" not in warm


def test_a_snapshot_counts_and_goes_with_its_number() -> None:
    warm = Warm(least=100)
    warm.folded("r", 4, b"x" * 100)
    warm.opened(head(), 5, [b"5"])
    assert (warm.snapshot("r", 4), warm.after("r", 4)) == (b"x" * 100, [b"5"])
    assert warm.snapshot("r", 3) is None
    warm.opened(head(), 9, [b"9"])  # the head names a later one
    assert warm.snapshot("r", 4) is None
    assert "r" not in warm


def test_a_run_that_has_ended_or_gathers_is_not_held() -> None:
    for gone in (head(due=None), head(gathers=True)):
        warm = Warm(least=0)
        warm.opened(head(), 0, [b"0"])
        warm.opened(gone, 0, [b"0"])
        assert "r" not in warm


def test_the_runs_that_were_not_used_for_longest_go_first() -> None:
    warm = Warm(least=0, runs=2)
    for run_id in ("a", "b", "a", "c"):
        warm.opened(head(run_id), 0, [b"0"])
    assert [run_id for run_id in "abc" if run_id in warm] == ["a", "c"]


def test_the_bytes_are_bounded_whatever_comes_and_goes() -> None:
    warm = Warm(least=0, most=1_000)
    for turn in range(50):
        for run_id in "abcde":
            warm.opened(head(run_id), 0, [b"x" * 100] * (1 + turn % 4))
            warm.folded(run_id, 0, b"y" * (turn * 37 % 300))
        sizes = [
            sum(len(each) + 48 for each in warm.after(run_id, -1)) + len(warm.snapshot(run_id, 0) or b"")
            for run_id in "abcde"
        ]
        assert sum(sizes) <= 1_000
        assert any(sizes)
        warm.drop("abcde"[turn % 5])
    warm.opened(head("large"), 0, [b"x" * 2_000])
    assert "large" not in warm
    assert any(run_id in warm for run_id in "abcde"), "what does not fit displaces nothing"
    warm.clear()
    warm.opened(head("a"), 0, [b"x" * 900])
    assert "a" in warm


def test_a_run_that_has_gathered_is_held_once_it_has_begun() -> None:
    warm = Warm(least=0)
    begun = head(gathers=True)
    begun.started_at = 5
    warm.opened(begun, 0, [b"0"])
    assert "r" in warm
