"""Flow control and the other options of a function, as they are written in its declaration.

These classes only hold the values; `tidemill.declare` checks them, each by itself and all together, when the function
is declared. Durations are seconds, a timedelta, or text such as "1h30m". Keys are CEL over `event`; where the path
of a key is missing, the key is null, and all such runs share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from tidemill.sdk.triggers import Duration


class Concurrency(msgspec.Struct, frozen=True):
    """At most `limit` at a time, for each value of `key`.

    `counts="steps"` counts executing code: a sleeping or waiting run holds no place. `counts="runs"` counts runs
    from their start to their end. The limit is shared by the function's runs, the app's, or the whole account's.
    """

    limit: int
    key: str | None = None
    scope: Literal["function", "app", "account"] = "function"
    counts: Literal["steps", "runs"] = "steps"


class Throttle(msgspec.Struct, frozen=True):
    """One start every `period / limit`, up to `burst` at once, the rest in order; no start is lost."""

    limit: int
    period: Duration
    burst: int = 1
    key: str | None = None


class RateLimit(msgspec.Struct, frozen=True):
    """At most `limit` starts in any `period`; a run over it is skipped, and says why."""

    limit: int
    period: Duration
    key: str | None = None


class Debounce(msgspec.Struct, frozen=True):
    """The last event wins, after a silence of `period`, at the latest after `timeout`."""

    period: Duration
    key: str | None = None
    timeout: Duration | None = None


class Batch(msgspec.Struct, frozen=True):
    """One run for up to `max_size` events (`ctx.events`), begun at the latest `timeout` after the first of them."""

    max_size: int
    timeout: Duration
    key: str | None = None


class Singleton(msgspec.Struct, frozen=True):
    """One run at a time: a newer run is skipped ("skip"), or cancels the older one ("cancel")."""

    mode: Literal["skip", "cancel"]
    key: str | None = None


class CancelOn(msgspec.Struct, frozen=True):
    """An event that cancels the run, from the receipt of the run's own event on, for `timeout` (default: always).

    `match` is a path that must have the same value in both events; `when` is CEL over `event` (the run's own)
    and `async` (the incoming). One of them is required: `when="true"` cancels every run.
    """

    name: str
    match: str | None = None
    when: str | None = None
    timeout: Duration | None = None


class Timeouts(msgspec.Struct, frozen=True):
    """Cancels a run that has not begun within `start`, or not ended within `finish`."""

    start: Duration | None = None
    finish: Duration | None = None


class Backoff(msgspec.Struct, frozen=True):
    """Delays before further attempts: a random share of `first`, then of `first` times `factor`, and so on to `cap`."""

    first: Duration = "1s"
    factor: float = 2.0
    cap: Duration = "1h"
