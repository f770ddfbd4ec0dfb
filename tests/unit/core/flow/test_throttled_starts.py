"""A throttle bounds starts, whatever has kept runs from beginning at their turns."""

from __future__ import annotations

import heapq
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.flow import throttle
from tidemill.core.flow.throttle import Limit, Starts, Turn

limits = st.builds(
    Limit, st.integers(1, 12) | st.integers(90, 150), st.sampled_from([1_000, 997, 60_000]), st.sampled_from([1, 1, 3])
)


class Places(NamedTuple):
    """So many runs at a time, each for as long as this says."""

    count: int
    lasts: list[int]


FREE = Places(1, [0])


def _begun(
    declared: Limit, arrivals: list[int], away: tuple[int, int], late: list[int], places: Places = FREE
) -> tuple[list[tuple[int, int]], int]:
    """When which runs begin, where nothing runs while the server is away; and how often they ask."""
    spent, starts, begun, asked = 0, Starts(), [], 0
    free = [0] * places.count
    heap: list[tuple[int, int, Turn]] = []
    for number, at in enumerate(sorted(arrivals)):
        planned, spent = throttle.slot(spent, at, declared.limit, declared.period, declared.burst)
        heapq.heappush(heap, (planned, number, Turn(planned)))
    now = 0
    while heap:
        due, number, turn = heapq.heappop(heap)
        now = max(now, due + late[number % len(late)])
        now = away[1] if away[0] <= now < away[1] else now
        if free[0] > now:
            heapq.heappush(heap, (free[0], number, turn))
            continue
        later, starts = throttle.begin(starts, f"r{number}", turn, now, declared)
        asked += 1
        if later is None:
            begun.append((now, number))
            heapq.heapreplace(free, now + places.lasts[number % len(places.lasts)])
        else:
            assert later.at > now, "nobody asks again at once"
            heapq.heappush(heap, (later.at, number, later))
    return begun, asked


def _times(begun: list[tuple[int, int]]) -> list[int]:
    return [at for at, _ in begun]


def _within(times: list[int], declared: Limit) -> bool:
    """Whether in each window begin at most burst + length * limit / period; times are whole milliseconds, rounded."""
    limit, period, burst = declared
    return all(
        (m - n + 1 - burst) * period < (times[m] - times[n] + 1) * limit
        for n in range(len(times))
        for m in range(n, len(times))
    )


outages = st.tuples(st.integers(0, 3_000), st.integers(0, 20_000)).map(lambda t: (t[0], t[0] + t[1]))
come = st.lists(st.integers(0, 5_000), min_size=1, max_size=80)


@settings(max_examples=300)
@given(
    limits,
    come,
    outages,
    st.lists(st.sampled_from([0, 0, 1, 2, 7, 40, 400, 5_900]), min_size=1, max_size=7),
    st.builds(Places, st.integers(1, 3), st.lists(st.sampled_from([0, 0, 10, 590, 6_900]), min_size=1, max_size=7)),
)
def test_never_more_starts_in_any_window_than_declared(declared, arrivals, away, late, places):
    begun, _ = _begun(declared, arrivals, away, late, places)
    assert sorted(number for _, number in begun) == list(range(len(arrivals)))
    assert _within(_times(begun), declared)


@settings(max_examples=300)
@given(limits, come, outages, st.integers(0, 2))
def test_after_any_outage_they_begin_in_order_and_ask_a_few_times(declared, arrivals, away, late):
    begun, asked = _begun(declared, arrivals, away, [late])
    assert [number for _, number in begun] == list(range(len(arrivals)))
    assert asked <= 5 * len(arrivals)


def test_one_that_is_late_moves_all_that_follow():
    for declared, late in ((Limit(2, 60_000, 1), 59_000), (Limit(2, 7_000, 1), 6_900), (Limit(10, 10_000, 1), 1_900)):
        gap = declared.period // declared.limit
        begun, _ = _begun(declared, [0] * 7, (0, 0), [0], Places(1, [late, *[0] * 6]))
        assert _times(begun) == [0, *(late + gap * n for n in range(6))]


def test_after_an_outage_the_starts_are_as_far_apart_as_before_and_in_order():
    begun, asked = _begun(Limit(10, 1_000, 1), [0] * 120, (1, 10_001), [0])
    times = _times(begun)
    assert times[0] == 0
    assert all(other - one == 100 for one, other in pairwise(times[1:]))
    assert asked <= 2 * 120


def test_on_time_runs_begin_when_planned():
    begun, asked = _begun(Limit(10, 1_000, 1), [0] * 30, (0, 0), [0])
    assert begun == [(100 * n, n) for n in range(30)]
    assert asked == 30


def test_on_time_nothing_drifts_where_an_interval_is_no_whole_millisecond():
    begun, asked = _begun(Limit(3, 1_000, 1), [0] * 3_001, (0, 0), [0])
    assert (begun[1], begun[2], begun[-1], asked) == ((334, 1), (667, 2), (1_000_000, 3_000), 3_001)


def test_what_is_late_by_little_does_not_slow_the_others():
    begun, _ = _begun(Limit(10, 1_000, 1), [0] * 1_000, (0, 0), [2])
    assert _times(begun) == [100 * n + 2 for n in range(1_000)]


def test_asked_twice_it_is_one_start():
    declared = Limit(1, 1_000, 1)
    first, starts = throttle.begin(Starts(), "a", Turn(0), 0, declared)
    again, starts = throttle.begin(starts, "a", Turn(0), 5, declared)
    other, _ = throttle.begin(starts, "b", Turn(5), 6, declared)
    assert (first, again, other) == (None, None, Turn(1_005, 2))
