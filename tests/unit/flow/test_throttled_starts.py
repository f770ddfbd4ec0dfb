"""A throttle bounds starts, whatever has kept runs from beginning at their turns."""

from __future__ import annotations

import heapq
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.flow import throttle
from tidemill.core.flow.throttle import Limit, Starts, Turn

limits = st.builds(
    Limit, st.integers(1, 12) | st.integers(90, 150), st.sampled_from([1_000, 997, 60_000]), st.sampled_from([1, 1, 3])
)


def _begun(declared: Limit, arrivals: list[int], away: tuple[int, int], late: list[int]) -> tuple[list[int], int]:
    """When runs begin that come at these times, where nothing runs while the server is away; and how often they ask."""
    spent, starts, begun, asked = 0, Starts(), [], 0
    heap: list[tuple[int, int, Turn]] = []
    for number, at in enumerate(sorted(arrivals)):
        planned, spent = throttle.slot(spent, at, declared.limit, declared.period, declared.burst)
        heapq.heappush(heap, (planned, number, Turn(planned)))
    now = 0
    while heap:
        due, number, turn = heapq.heappop(heap)
        now = max(now, due + late[number % len(late)])
        now = away[1] if away[0] <= now < away[1] else now
        later, starts = throttle.begin(starts, f"r{number}", turn, now, declared)
        asked += 1
        if later is None:
            begun.append(now)
        else:
            assert later.at > now, "nobody asks again at once"
            heapq.heappush(heap, (later.at, number, later))
    return begun, asked


def _most(times: list[int], span: int) -> int:
    return max(sum(at <= other < at + span for other in times) for at in times)


@settings(max_examples=300)
@given(
    limits,
    st.lists(st.integers(0, 5_000), min_size=1, max_size=80),
    st.tuples(st.integers(0, 3_000), st.integers(0, 20_000)).map(lambda t: (t[0], t[0] + t[1])),
    st.lists(st.sampled_from([0, 0, 1, 2, 7, 40, 400]), min_size=1, max_size=7),
)
def test_never_more_starts_in_any_window_than_declared(declared, arrivals, away, late):
    begun, asked = _begun(declared, arrivals, away, late)
    assert len(begun) == len(arrivals)
    assert _most(begun, declared.period) <= declared.limit + declared.burst - 1
    assert asked <= 6 * len(arrivals), "a run asks a few times, however many there are"


def test_after_an_outage_the_starts_are_as_far_apart_as_before_and_in_order():
    begun, asked = _begun(Limit(10, 1_000, 1), [0] * 120, (1, 10_001), [0])
    assert begun[0] == 0
    assert all(other - one == 100 for one, other in pairwise(begun[1:]))
    assert asked <= 2 * 120


def test_on_time_runs_begin_when_planned():
    begun, asked = _begun(Limit(10, 1_000, 1), [0] * 30, (0, 0), [0])
    assert begun == [100 * n for n in range(30)]
    assert asked == 30


def test_what_is_late_by_little_does_not_slow_the_others():
    begun, _ = _begun(Limit(10, 1_000, 1), [0] * 1_000, (0, 0), [2])
    assert begun[-1] <= 99_900 * 1.01


def test_asked_twice_it_is_one_start():
    declared = Limit(1, 1_000, 1)
    first, starts = throttle.begin(Starts(), "a", Turn(0), 0, declared)
    again, starts = throttle.begin(starts, "a", Turn(0), 5, declared)
    other, _ = throttle.begin(starts, "b", Turn(5), 6, declared)
    assert (first, again, other) == (None, None, Turn(1_005, True))
