"""The worlds in which a scenario can be run, and what is broken at its end."""

from __future__ import annotations

import logging
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from simulation.invariants import broken
from simulation.scenario import Scenario
from simulation.system import System

WORLDS = {
    "local": "one server's stores, and everything else as bad as it can be",
    "sync": "the dev server: one handler runs to its end, then the next",
    "aws": "queues, bus and Scheduler as AWS has them; stores in SQLite",
    "moto": "the same on the adapters of AWS; far slower",
}
SECONDS = {"moto": 600}  # as below
OTHERWISE = 60  # of processor time, for one seed; most take a tenth of one


class Hangs(BaseException):
    """The processor time has run out: something turns in place without asking anybody anything."""


def check(scenario: Scenario, world: str = "local") -> list[str]:
    """Run a scenario to its end; what is broken."""
    return outcome(scenario, world)[0]


def outcome(scenario: Scenario, world: str = "local") -> tuple[list[str], System | None]:
    """What is broken, and the system as it was left; None where it could not be made."""
    system: System | None = None
    logging.getLogger("asyncio").disabled = True  # it tells of each task that a killed process has left
    try:
        with _within(SECONDS.get(world, OTHERWISE)):
            system = system_of(world)(scenario)
            system.run()
            return system.loop.alarms or broken(system), system
    except (Exception, Hangs):
        return [f"the engine raised\n{traceback.format_exc()}"], system
    finally:
        if system is not None:
            system.close()


def system_of(world: str) -> type[System]:
    if world == "local":
        return System
    if world == "sync":
        from simulation.sync_system import SyncSystem

        return SyncSystem
    if world == "aws":
        from simulation.aws_system import AwsSystem

        return AwsSystem
    from simulation.moto_system import MotoSystem

    return MotoSystem


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    """Raise Hangs after so long; only the main thread can be told."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def over(_: int, frame: FrameType | None) -> None:
        where = frame.f_code.co_qualname if frame is not None else "nowhere"
        raise Hangs(f"{seconds} s are over, in {where}")

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
