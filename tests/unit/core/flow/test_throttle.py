"""A throttle against a model of itself: fractions of a second, one start after the other."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.flow import throttle

gaps = st.lists(st.integers(0, 3_000), min_size=1, max_size=60)


def model(times: list[int], limit: int, period: int, burst: int) -> list[int]:
    """A bucket that holds `burst` starts and is filled at an even rate; who finds it empty waits for the next drop."""
    interval, full_at, slots = Fraction(period, limit), Fraction(0), []
    for now in times:
        full_at = max(full_at, Fraction(now)) + interval  # when it would be full again, had nobody come after
        slots.append(max(now, ceil(full_at - burst * interval)))
    return slots


@given(gaps, st.integers(1, 20), st.integers(1, 5_000), st.integers(1, 6))
def test_slots_are_those_of_the_model(gaps, limit, period, burst):
    times, slots, spent, now = [], [], 0, 0
    for gap in gaps:
        now += gap
        times.append(now)
        slot, spent = throttle.slot(spent, now, limit, period, burst)
        slots.append(slot)
    assert slots == model(times, limit, period, burst)
    assert slots == sorted(slots)  # in order


@given(gaps, st.integers(1, 20), st.integers(1, 5_000), st.integers(1, 6))
def test_no_window_has_more_than_its_share(gaps, limit, period, burst):
    spent, now, slots = 0, 0, []
    for gap in gaps:
        now += gap
        slot, spent = throttle.slot(spent, now, limit, period, burst)
        assert slot >= now
        slots.append(slot)
    for n, slot in enumerate(slots[burst:]):
        assert slot - slots[n] >= period // limit


def test_three_a_second_do_not_drift():
    spent, slots = 0, []
    for _ in range(3_001):
        slot, spent = throttle.slot(spent, 0, 3, 1_000, 1)
        slots.append(slot)
    assert slots[:4] == [0, 334, 667, 1_000]
    assert slots[3_000] == 1_000_000
