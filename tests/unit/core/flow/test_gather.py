"""Debounce and batch against models of themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.flow import collect
from tidemill.model import Event


def debounced(times: list[int], period: int, timeout: int | None) -> list[tuple[int, int]]:
    """(start, number of its last event) of each run: silence, or the timeout, ends a window."""
    runs: list[tuple[int, int]] = []
    first = last = None
    for number, now in enumerate(times):
        if first is None or now >= runs[-1][0]:
            first = now
            runs.append((0, 0))
        last = now
        runs[-1] = (last + period if timeout is None else min(last + period, first + timeout), number)
    return runs


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 60), st.none() | st.integers(60, 200))
def test_a_debounce_starts_after_a_silence_with_the_last_event(gaps, period, timeout):
    times = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    declared = {"period": period} | ({"timeout": timeout} if timeout is not None else {})
    runs: list[tuple[int, int]] = []
    first = begin = count = 0
    for number, now in enumerate(times):
        if not runs or now >= begin:
            first, count = now, 0
            runs.append((0, 0))
        count += 1
        begin = collect.begins("debounce", declared, first, now, count)
        runs[-1] = (begin, number)
    assert runs == debounced(times, period, timeout)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 80))
def test_a_batch_is_flushed_at_its_size_or_its_timeout(gaps, size, timeout):
    declared = {"max_size": size, "timeout": timeout}
    now, batches = 0, [[0, 0]]  # when begun, how many
    for gap in gaps:
        now += gap
        since, count = batches[-1]
        if count == 0 or collect.full("batch", declared, count) or now >= since + timeout:
            batches.append([now, 0])
            since, count = batches[-1]
        batches[-1][1] += 1
        begin = collect.begins("batch", declared, since, now, count + 1)
        assert begin == (now if count + 1 == size else since + timeout)
    assert sum(count for _, count in batches) == len(gaps)
    assert max(count for _, count in batches) <= size


def test_a_late_message_does_not_win():
    events = [Event(f"e{at}", "n", {}, at, at) for at in (5, 9, 7)]
    assert [event.id for event in collect.given(events, last=True)] == ["e9"]
    assert [event.id for event in collect.given(events, last=False)] == ["e5", "e7", "e9"]


def test_a_debounce_shows_the_latest_hundred_events_and_a_batch_all():
    many = [str(n) for n in range(150)]
    assert collect.listed("debounce", many) == tuple(many[50:])
    assert collect.listed("batch", many[:90]) == tuple(many[:90])
