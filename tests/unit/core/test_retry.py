"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.retry import delay, retry_at
from tidemill.model import Backoff, Failure

backoffs = st.builds(
    Backoff, st.integers(1, 86_400_000), st.floats(1, 10, allow_nan=False), st.integers(1, 31_622_400_000)
)
chances = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("failures", "ceiling"), [(1, 1_000), (2, 2_000), (3, 4_000), (12, 2_048_000), (13, 3_600_000), (10_000, 3_600_000)]
)
def test_the_default_doubles_from_a_second_to_an_hour(failures, ceiling):
    assert delay(Backoff(), failures, 0.5) == ceiling // 2
    assert delay(Backoff(), failures, 0.0) == 0


@given(backoffs, st.integers(1, 100_000), chances)
def test_it_is_a_share_of_a_bounded_ceiling(backoff, failures, chance):
    found = delay(backoff, failures, chance)
    assert 0 <= found <= backoff.cap


@given(backoffs, st.integers(1, 60), chances)
def test_it_never_shrinks_as_failures_mount(backoff, failures, chance):
    assert delay(backoff, failures, chance) <= delay(backoff, failures + 1, chance)


@given(backoffs, st.integers(1, 20), chances)
def test_jitter_reaches_from_nothing_to_all_of_it(backoff, failures, chance):
    assert delay(backoff, failures, 0) == 0
    assert delay(backoff, failures, chance) <= delay(backoff, failures, 0.999_999_999)


@pytest.mark.parametrize(("named", "at"), [(9_000, 9_000), (5_000, 5_000), (1_000, 5_000)])
def test_an_error_that_names_its_time_is_taken_at_its_word(named, at):
    assert retry_at(Backoff(), 3, Failure("E", "m", retry_after=named), 5_000, 0.5) == at


def test_an_error_that_names_none_backs_off():
    assert retry_at(Backoff(10_000, 3, 60_000), 2, Failure("E", "m"), 5_000, 0.5) == 5_000 + 15_000
