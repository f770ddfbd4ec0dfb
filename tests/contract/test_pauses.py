"""The contract of Pauses."""

from __future__ import annotations

from tidemill.model import Pause
from tidemill.ports import Pauses

F, G = "shop.pay", "shop.ship"
PAUSE = Pause(5, "ann", "drop")


def test_a_function_is_paused_until_it_is_resumed(pauses: Pauses) -> None:
    assert pauses.all() == {}
    pauses.pause(F, PAUSE)
    pauses.pause(F, PAUSE)
    assert pauses.all() == {F: PAUSE}
    pauses.resume(F)
    pauses.resume(F)
    assert (pauses.all(), pauses.resumed()) == ({}, [])


def test_held_runs_are_told_oldest_first_until_they_are_released(pauses: Pauses) -> None:
    pauses.pause(F, PAUSE)
    for run_id, at in (("b", 20), ("a", 10), ("c", 30), ("b", 20)):
        pauses.hold(F, run_id, at)
    pauses.hold(G, "z", 1)
    assert pauses.held(F, 2) == [(10, "a"), (20, "b")]
    pauses.release(F, pauses.held(F, 2))
    assert pauses.held(F, 10) == [(30, "c")]
    assert pauses.held(G, 10) == [(1, "z")]


def test_a_resumed_function_is_named_as_long_as_runs_are_held(pauses: Pauses) -> None:
    pauses.pause(F, PAUSE)
    pauses.hold(F, "a", 10)
    assert pauses.resumed() == []
    pauses.resume(F)
    assert pauses.resumed() == [F]
    pauses.release(F, [(10, "a")])
    assert pauses.resumed() == []


def test_of_the_ticks_of_a_trigger_the_latest_is_kept(pauses: Pauses) -> None:
    pauses.pause(F, PAUSE)
    assert pauses.swap_tick(F, "t", 10, "a") is None
    assert pauses.swap_tick(F, "t", 10, "a") is None
    assert pauses.swap_tick(F, "t", 20, "b") == "a"
    assert pauses.swap_tick(F, "t", 15, "late") == "late"
    assert pauses.swap_tick(F, "other", 5, "c") is None
    assert pauses.held(F, 10) == []
