"""The errors survive pickle and copy, and RetryAfterError takes what upstreams send."""

import copy
import pickle
from datetime import UTC, datetime, timedelta

import pytest

from tidemill import errors, values
from tidemill.engine.drive.live import AttemptTimeout
from tidemill.model import Failure

SAMPLES = [
    errors.TidemillError("plain"),
    errors.DeclarationError("function 'x'", ["one", "two"]),
    errors.EventError("bad", [{"index": 0, "loc": ["data"], "msg": "no"}]),
    errors.ApiError(404, "there is no such run"),
    errors.NonRetriableError("stop"),
    errors.RetryAfterError("5m", "later"),
    errors.StepError("failed", type="ValueError", step_id="charge", stack="…"),
    errors.StepTimeoutError("slow", type="StepTimeoutError", step_id="charge"),
    errors.TaskFailed(Failure("StatusError", "500")),
    errors.NonDeterministicError("another way"),
    errors.JournalError("a gap"),
    errors.BundleError("cut off"),
    errors.Unavailable("no answer"),
    values.NotSerializable("result.x", "a set cannot be remembered"),
    AttemptTimeout("slow"),
]


def same(one: BaseException, other: BaseException) -> None:
    assert type(one) is type(other)
    assert (str(one), one.args, vars(one)) == (str(other), other.args, vars(other))


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickle_and_copy(error):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        same(pickle.loads(pickle.dumps(error, protocol)), error)
    same(copy.copy(error), error)
    same(copy.deepcopy(error), error)


def test_every_error_of_the_tree_has_a_sample():
    def below(kind: type) -> set[type]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__() if child.__module__ == kind.__module__))

    assert below(errors.TidemillError) <= {type(sample) for sample in SAMPLES}


@pytest.mark.parametrize(
    ("when", "milliseconds", "absolute"),
    [
        (3, 3_000, False),
        (0.25, 250, False),
        ("3", 3_000, False),
        (" 120 ", 120_000, False),
        ("1.5", 1_500, False),
        ("5m", 300_000, False),
        (timedelta(hours=1), 3_600_000, False),
        (datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 60_000, True),
        ("1970-01-01T00:01:00Z", 60_000, True),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 60_000, True),
        ("Thursday, 01-Jan-70 00:01:00 GMT", 60_000, True),
        ("Thu Jan  1 00:01:00 1970", 60_000, True),
    ],
)
def test_retry_after_takes_delays_and_times(when, milliseconds, absolute):
    error = errors.RetryAfterError(when)
    assert (error.milliseconds, error.absolute, error.when) == (milliseconds, absolute, when)


@pytest.mark.parametrize(
    "when",
    [
        None,
        True,
        -1,
        "-1",
        "",
        "soon",
        float("nan"),
        float("inf"),
        datetime(2026, 1, 1),  # noqa: DTZ001
        "Thu, 99 Foo 2026",
        "2026-99-99T00:00:00Z",
        object(),
    ],
)
def test_retry_after_refuses_what_is_no_time(when):
    with pytest.raises(ValueError, match=r"^RetryAfterError: "):
        errors.RetryAfterError(when)
