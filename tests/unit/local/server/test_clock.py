"""The platform's time and cron, when the machine's clock is set or the machine has slept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tidemill.model import CronTrigger, FunctionSpec
from tidemill_local.server.clock import NS, ClockWatch, PlatformClock, SharedClock
from tidemill_local.server.cron import Cron

START = 1_790_000_040_000  # a full minute
DAY = 86_400_000
MINUTE = 60_000


class Machine:
    """A wall clock that can be set, a monotonic one that cannot, and a loop's timers."""

    def __init__(self) -> None:
        self.wall, self.monotonic = START, 5_000
        self.calls: list[tuple[float, Callable[[], None]]] = []
        self.clock = PlatformClock(lambda: self.wall * NS, lambda: self.monotonic * NS)

    def pass_time(self, ms: int) -> None:
        """Time passes, second by second, as for a machine that is awake."""
        for step in [1_000] * (ms // 1_000) + [ms % 1_000]:
            self.wall += step
            self.monotonic += step
            self.ring()

    def ring(self) -> None:
        due = [each for each in self.calls if each[0] <= self.monotonic]
        self.calls = [each for each in self.calls if each[0] > self.monotonic]
        for _, call in due:
            call()

    def call_later(self, seconds: float, call: Callable[[], None]) -> Any:
        entry = (self.monotonic + seconds * 1_000, call)
        self.calls.append(entry)
        machine = self

        class Handle:
            def cancel(self) -> None:
                if entry in machine.calls:
                    machine.calls.remove(entry)

        return Handle()

    def now(self) -> int:
        return self.wall


def test_time_goes_on_when_the_clock_is_set_back() -> None:
    for back in (5_000, DAY):
        machine = Machine()
        before = machine.clock.now()
        machine.wall -= back
        machine.clock.compare()
        assert machine.clock.now() == before
        machine.pass_time(3_000)
        machine.clock.compare()
        assert machine.clock.now() == before + 3_000, "sleeps and retries do not stand"


def test_time_follows_a_clock_that_is_set_ahead_and_a_machine_that_has_slept() -> None:
    machine = Machine()
    machine.wall += DAY
    assert machine.clock.now() == START, "until the next comparison"
    assert machine.clock.compare() == DAY
    assert machine.clock.now() == START + DAY
    machine.wall -= DAY
    assert machine.clock.compare() == -DAY
    assert machine.clock.now() == START + DAY


def test_time_begins_after_the_latest_that_was_given_out_before() -> None:
    clock = PlatformClock(lambda: START * NS, lambda: 5 * NS, floor=START + 7)
    assert clock.now() == START + 7


def test_workers_have_the_servers_time() -> None:
    machine = Machine()
    shared = SharedClock(lambda: machine.clock.offset, lambda: machine.monotonic * NS)
    machine.wall -= DAY
    machine.clock.compare()
    machine.pass_time(1_234)
    assert shared.now() == machine.clock.now() == START + 1_234


class Minded:
    def __init__(self) -> None:
        self.count = 0

    def clock_set(self) -> None:
        self.count += 1


def test_the_clocks_are_compared_each_second() -> None:
    machine, minded, times, said = Machine(), Minded(), list[int](), list[str]()
    loop: Any = machine
    ClockWatch(loop, machine.clock, [minded], times.append, said.append).look()
    machine.pass_time(3_000)
    assert (times, minded.count, said) == ([START, START + 1_000, START + 2_000, START + 3_000], 0, [])
    machine.wall += 3_600_000
    machine.pass_time(1_000)
    assert minded.count == 1, "sleepers due meanwhile wake at once"
    machine.wall -= 5_000
    machine.pass_time(1_000)
    assert minded.count == 2
    assert ["ahead by 3,600 s" in said[0], "back by 5 s" in said[1]] == [True, True]


class Crons:
    def __init__(self, *triggers: CronTrigger) -> None:
        self.machine = Machine()
        self.fired: list[int] = []
        loop: Any = self.machine
        self.cron = Cron(loop, self.machine, lambda spec, trigger, tick: self.fired.append(tick))
        self.cron.replace([FunctionSpec("a.f", "a", "f", triggers)])

    def minutes(self) -> list[int]:
        fired, self.fired = self.fired, []
        return [(tick - START) // MINUTE for tick in fired]


def test_every_tick_fires_while_the_machine_is_awake() -> None:
    crons = Crons(CronTrigger("* * * * *"))
    crons.machine.pass_time(5 * MINUTE)
    assert crons.minutes() == [1, 2, 3, 4, 5]


def test_of_the_ticks_missed_in_a_sleep_the_latest_fires() -> None:
    crons = Crons(CronTrigger("* * * * *"))
    crons.machine.wall += DAY
    crons.cron.clock_set()
    assert crons.minutes() == [1_440]
    crons.machine.pass_time(2 * MINUTE)
    assert crons.minutes() == [1_441, 1_442]


def test_a_missed_tick_with_jitter_fires_once_its_jitter_is_over() -> None:
    crons = Crons(CronTrigger("0 * * * *", jitter=10 * MINUTE))
    crons.machine.wall += DAY
    crons.cron.clock_set()
    fired = crons.minutes()
    assert len(fired) <= 1
    crons.machine.pass_time(60 * MINUTE)
    assert len(fired + crons.minutes()) == 2, "the latest, and the next one"


def test_cron_follows_a_clock_that_is_set_back() -> None:
    crons = Crons(CronTrigger("* * * * *"))
    crons.machine.pass_time(2 * MINUTE)
    crons.machine.wall -= DAY
    crons.cron.clock_set()
    crons.machine.pass_time(2 * MINUTE)
    assert crons.minutes() == [1, 2, -1_437, -1_436], "each tick at its own time; one that comes again starts nothing"


def test_a_trigger_that_is_new_has_missed_nothing() -> None:
    crons = Crons()
    crons.machine.pass_time(10 * MINUTE)
    crons.cron.replace([FunctionSpec("a.f", "a", "f", (CronTrigger("* * * * *"),))])
    assert crons.minutes() == []
