"""The contract of FlowStore."""

from __future__ import annotations

import pytest

from tidemill.core.flow.throttle import Limit, Turn
from tidemill.model import Place
from tidemill.ports import FlowStore, Grant, Hold, Leaver, Waiting, Window

NOW, UNTIL = 1_790_000_000_000, 1_790_000_900_000
ONE, TWO = Place("f/k", 1, label="ann"), Place("f/k", 2, label="ann")
RUNS = Place("g/k", 1, "runs")


def take(flow: FlowStore, run: str, place: Place = ONE, token: int = 1, now: int = NOW, until: int = UNTIL) -> bool:
    return flow.take(place, Hold(run, token, until), now, known=False)


def park(flow: FlowStore, run: str, rank: int, place: Place = ONE, token: int = 1, now: int = NOW) -> list[str]:
    granted = flow.park(place, Waiting(run, "shop.pay", token, rank), Grant(now, UNTIL, lambda _: place.limit))
    return [run_id for run_id, _ in granted]


def pass_on(
    flow: FlowStore,
    run: str,
    place: Place = ONE,
    upto: int | None = None,
    rank: int | None = None,
    limit: int | None = None,
) -> list[str]:
    places = limit if limit is not None else place.limit
    granted = flow.pass_on(place, Leaver(run, upto, rank), Grant(NOW, UNTIL, lambda _: places))
    assert all(function_id == "shop.pay" for _, function_id in granted)
    return [run_id for run_id, _ in granted]


def holding(flow: FlowStore, place: Place = ONE) -> set[str]:
    return {holder.run_id for holder in flow.holders(place.key)}


def test_as_many_hold_a_place_as_there_are(flow: FlowStore) -> None:
    assert [take(flow, run, TWO) for run in ("a", "b", "c")] == [True, True, False]
    assert holding(flow) == {"a", "b"}
    assert sorted(flow.holders("f/k"), key=lambda h: h.run_id)[0] == Hold("a", 1, UNTIL)


def test_a_key_is_isolated_from_others(flow: FlowStore) -> None:
    assert take(flow, "a", Place("f/1", 1))
    assert take(flow, "b", Place("f/2", 1))
    assert not take(flow, "c", Place("f/1", 1))


def test_taking_twice_is_taking_once(flow: FlowStore) -> None:
    assert take(flow, "a", TWO)
    assert take(flow, "a", TWO)
    assert take(flow, "b", TWO)
    assert not take(flow, "c", TWO)


def test_a_newer_claim_holds_the_place_on_and_an_older_one_has_lost_it(flow: FlowStore) -> None:
    assert take(flow, "a", token=3)
    assert take(flow, "a", token=5, until=UNTIL + 7)
    assert flow.holders("f/k") == [Hold("a", 5, UNTIL + 7)]
    assert not take(flow, "a", token=3)
    pass_on(flow, "a", upto=4)
    assert holding(flow) == {"a"}
    pass_on(flow, "a", upto=5)
    assert holding(flow) == set()


@pytest.mark.parametrize("known", [False, True])
def test_of_two_executors_after_the_same_claim_the_slower_shortens_no_lease(flow: FlowStore, known: bool) -> None:
    assert take(flow, "a", token=5, until=UNTIL + 7)
    assert flow.take(ONE, Hold("a", 5, UNTIL), NOW, known=known)
    assert flow.holders("f/k") == [Hold("a", 5, UNTIL + 7)]
    assert not take(flow, "b", now=UNTIL, until=UNTIL + 9)
    assert flow.take(ONE, Hold("a", 5, UNTIL + 8), NOW, known=known)
    assert flow.holders("f/k") == [Hold("a", 5, UNTIL + 8)]


def test_a_place_that_counts_steps_is_free_when_its_lease_has_passed(flow: FlowStore) -> None:
    assert take(flow, "a")
    assert not take(flow, "b", now=UNTIL - 1)
    assert take(flow, "b", now=UNTIL, until=UNTIL + 9)
    assert holding(flow) == {"b"}


def test_a_place_that_counts_runs_is_not(flow: FlowStore) -> None:
    assert take(flow, "a", RUNS)
    assert not take(flow, "b", RUNS, now=UNTIL + 1)
    flow.pass_on(RUNS, Leaver("a"), Grant(UNTIL + 1, UNTIL, lambda _: RUNS.limit))
    assert take(flow, "b", RUNS, now=UNTIL + 1)


def test_a_place_passes_to_the_first_in_line(flow: FlowStore) -> None:
    take(flow, "a")
    for run, rank in (("b", 30), ("c", 10), ("d", 20)):
        park(flow, run, rank)
    assert pass_on(flow, "a") == ["c"]
    assert flow.holders("f/k") == [Hold("c", 1, UNTIL)]
    assert not take(flow, "e")  # never free while someone waits
    assert take(flow, "c", token=1)
    assert not take(flow, "e")
    assert pass_on(flow, "c", upto=9) == ["d"]
    assert pass_on(flow, "d", upto=9) == ["b"]
    assert pass_on(flow, "b", upto=9) == []
    assert holding(flow) == set()


def test_of_equal_ranks_each_gets_its_turn(flow: FlowStore) -> None:
    take(flow, "z")
    for number in range(9, 0, -1):
        park(flow, f"r{number}", 10)
    order = []
    last = "z"
    while granted := pass_on(flow, last):
        order += granted
        last = granted[0]
    assert sorted(order) == [f"r{number}" for number in range(1, 10)]


def test_a_run_keeps_its_position_and_stands_there_with_its_new_token(flow: FlowStore) -> None:
    take(flow, "a")
    park(flow, "b", 10)
    park(flow, "c", 11)
    park(flow, "b", 10, token=4)
    assert pass_on(flow, "a") == ["b"]
    assert flow.holders("f/k") == [Hold("b", 4, UNTIL)]


def test_nobody_gets_past_a_line(flow: FlowStore) -> None:
    """A place that is free for want of somebody who gives it away goes to the first in line, whoever comes to it."""
    take(flow, "a")
    park(flow, "b", 10)
    park(flow, "c", 20)
    assert pass_on(flow, "a", limit=0) == []
    assert holding(flow) == set()
    assert not take(flow, "new")
    assert not flow.take(ONE, Hold("b", 1, UNTIL), NOW, known=True)
    assert park(flow, "new", 30) == ["b"]
    assert flow.take(ONE, Hold("b", 1, UNTIL), NOW, known=True)
    assert [pass_on(flow, run, upto=9) for run in ("b", "c", "new")] == [["c"], ["new"], []]
    assert take(flow, "d")


def test_who_stands_in_line_when_a_place_has_become_free_has_it(flow: FlowStore) -> None:
    assert park(flow, "a", 10) == ["a"]
    assert flow.take(ONE, Hold("a", 1, UNTIL), NOW, known=True)
    assert park(flow, "b", 10) == []
    assert pass_on(flow, "a") == ["b"]


def test_a_place_whose_holder_is_not_heard_of_goes_to_the_first_in_line(flow: FlowStore) -> None:
    take(flow, "a")
    park(flow, "b", 10)
    park(flow, "c", 20)
    assert not take(flow, "new", now=UNTIL)
    assert park(flow, "new", 30, now=UNTIL) == ["b"]
    assert holding(flow) == {"b"}


def test_who_is_found_in_line_again_gives_away_what_has_lapsed(flow: FlowStore) -> None:
    """As the sweep finds them, when nobody else comes."""
    take(flow, "a")
    park(flow, "b", 10)
    park(flow, "c", 20)
    assert park(flow, "c", 20, now=UNTIL) == ["b"]
    assert flow.take(ONE, Hold("b", 1, UNTIL + 9), UNTIL, known=True)
    assert park(flow, "c", 20, now=UNTIL) == []


def test_a_lapsed_place_of_a_run_goes_on_to_be_its_own(flow: FlowStore) -> None:
    """Late, but nobody else was given it."""
    take(flow, "a")
    park(flow, "b", 10)
    assert flow.take(ONE, Hold("a", 2, UNTIL + 9), UNTIL + 1, known=True)
    assert not take(flow, "new", now=UNTIL + 2)


def test_with_a_lower_limit_what_has_lapsed_is_gone(flow: FlowStore) -> None:
    many = Place("f/k", 5)
    for run in ("a", "b", "c", "d"):
        take(flow, run, many)
    take(flow, "e", many, until=UNTIL + 9)
    assert not take(flow, "new", ONE, now=UNTIL)
    assert take(flow, "new", TWO, now=UNTIL, until=UNTIL + 9)
    assert {holder.run_id for holder in flow.holders("f/k") if holder.until > UNTIL} == {"e", "new"}


def test_who_leaves_leaves_the_line_too(flow: FlowStore) -> None:
    take(flow, "a")
    park(flow, "b", 10)
    park(flow, "c", 20)
    assert pass_on(flow, "b", rank=10) == []
    assert pass_on(flow, "a") == ["c"]


def test_who_leaves_as_the_last_leaves_no_line(flow: FlowStore) -> None:
    take(flow, "a")
    park(flow, "b", 10)
    assert pass_on(flow, "b", rank=10) == []
    assert pass_on(flow, "a") == []
    assert take(flow, "c")


def test_who_gives_up_a_place_for_now_keeps_its_position(flow: FlowStore) -> None:
    take(flow, "a")
    park(flow, "b", 10)
    assert pass_on(flow, "b", upto=9) == []
    assert pass_on(flow, "a", upto=9) == ["b"]


def test_passing_on_twice_is_passing_on_once(flow: FlowStore) -> None:
    take(flow, "a", TWO)
    take(flow, "x", TWO)
    park(flow, "b", 10, TWO)
    park(flow, "c", 20, TWO)
    assert pass_on(flow, "a", TWO) == ["b"]
    assert pass_on(flow, "a", TWO) in ([], ["b"])  # one not yet claimed may be told again
    assert holding(flow) == {"b", "x"}


def test_a_higher_limit_lets_more_in_at_once_and_a_lower_one_none(flow: FlowStore) -> None:
    take(flow, "a")
    for number in range(5):
        park(flow, f"r{number}", number)
    assert pass_on(flow, "a", limit=3) == ["r0", "r1", "r2"]
    assert pass_on(flow, "r0", limit=1) == []
    assert pass_on(flow, "r1", limit=1) == []
    assert pass_on(flow, "r2", limit=1) == ["r3"]


def test_a_throttle_moves_on_by_a_period_each(flow: FlowStore) -> None:
    assert flow.spend("t/k", NOW, 3, 1_000) == NOW * 3 + 1_000
    assert flow.spend("t/k", NOW, 3, 1_000) == NOW * 3 + 2_000
    assert flow.spend("t/other", NOW, 3, 1_000) == NOW * 3 + 1_000
    assert flow.spend("t/k", NOW + 666, 3, 1_000) == NOW * 3 + 3_000
    assert flow.spend("t/k", NOW + 1_001, 3, 1_000) == NOW * 3 + 1_001 * 3 + 1_000  # what was not used is not saved


def test_a_throttle_counts_what_begins(flow: FlowStore) -> None:
    limit = Limit(2, 1_000, 1)
    begun = [flow.begin("t/k", f"a{n}", Turn(NOW), NOW + n, limit) for n in range(3)]
    assert begun == [None, Turn(NOW + 500, 2), Turn(NOW + 1_000, 3)], "one each half of a second"
    assert flow.begin("t/k", "a0", Turn(NOW), NOW + 3, limit) is None, "begun already"
    assert flow.begin("t/other", "b", Turn(NOW), NOW + 4, limit) is None
    assert flow.begin("t/k", "a1", Turn(NOW + 500, 2), NOW + 503, limit) is None
    assert flow.begin("t/k", "a2", Turn(NOW + 1_000, 3), NOW + 1_000, limit) == Turn(NOW + 1_003, 3), "500 ms later"
    assert flow.begin("t/k", "a3", Turn(NOW), NOW + 1_001, limit) == Turn(NOW + 1_503, 4), "behind the one before"
    assert flow.begin("t/k", "a2", Turn(NOW + 1_003, 3), NOW + 1_003, limit) is None
    assert flow.spend("t/k", NOW, 2, 1_000) == NOW * 2 + 1_000, "what was planned is counted apart"


@pytest.mark.parametrize("limit", [1, 2, 40])
def test_a_run_is_counted_at_its_start_and_no_more_when_it_was_let_in(flow: FlowStore, limit: int) -> None:
    for n in range(limit):
        assert flow.count("r/k", f"a{n}", NOW, limit, 1_000)
    for n in range(limit):  # they begin later
        assert flow.count("r/k", f"a{n}", NOW + 900, limit, 1_000)
    assert not flow.count("r/k", "b", NOW + 1_001, limit, 1_000)
    assert flow.count("r/k", "b", NOW + 1_900, limit, 1_000)
    for n in range(limit - 1):
        assert flow.count("r/k", f"b{n}", NOW + 1_901, limit, 1_000)
    assert not flow.count("r/k", "a0", NOW + 1_902, limit, 1_000), "it is not noted any more, and there is no room"


@pytest.mark.parametrize("limit", [1, 2, 40])
def test_a_rate_is_counted_within_its_window(flow: FlowStore, limit: int) -> None:
    assert [flow.count("r/k", f"a{n}", NOW + n, limit, 1_000) for n in range(limit + 1)] == [True] * limit + [False]
    assert flow.count("r/k", "a0", NOW, limit, 1_000)  # counted already
    assert flow.count("r/other", "b", NOW, limit, 1_000)
    assert not flow.count("r/k", "c", NOW + 999, limit, 1_000)
    assert flow.count("r/k", "c", NOW + 1_000, limit, 1_000)


def test_an_idempotency_key_has_one_run_until_its_time_is_over(flow: FlowStore) -> None:
    assert flow.first("i/k", "a", NOW, UNTIL) == "a"
    assert flow.first("i/k", "b", NOW + 1, UNTIL) == "a"
    assert flow.first("i/k", "a", NOW + 1, UNTIL) == "a"
    assert flow.first("i/other", "b", NOW, UNTIL) == "b"
    assert flow.first("i/k", "b", UNTIL, UNTIL + 9) == "b"
    flow.forget("i/k", "a")
    assert flow.first("i/k", "c", UNTIL, UNTIL + 9) == "b"
    flow.forget("i/k", "b")
    assert flow.first("i/k", "c", UNTIL, UNTIL + 9) == "c"


def test_a_window_moves_only_from_the_run_that_it_was_of(flow: FlowStore) -> None:
    one, two, three = Window("a", 0, 1, NOW), Window("a", 1, 2, NOW), Window("b", 0, 1, NOW + 5)
    assert flow.window("w/k") is None
    assert flow.move_window("w/k", None, one, NOW) == one
    assert flow.move_window("w/k", None, one, NOW) == one  # done twice
    assert flow.move_window("w/k", None, three, NOW) == one
    assert flow.move_window("w/k", "a", two, NOW) == two
    assert flow.move_window("w/k", "a", one, NOW) == two, "a window of the same run goes forward only"
    assert flow.move_window("w/k", "b", three, NOW) == two
    assert flow.move_window("w/k", "a", three, NOW) == three, "whatever its number was when it was read"
    assert flow.move_window("w/k", "a", two, NOW) == three
    assert flow.window("w/k") == three
    assert flow.window("w/other") is None


def test_what_is_in_use_and_who_waits_by_key(flow: FlowStore) -> None:
    ann, bob = Place("f/1", 1, label="ann"), Place("f/2", 2, label="bob")
    take(flow, "a", ann)
    take(flow, "b", bob)
    take(flow, "c", bob)
    park(flow, "d", 5, ann, now=NOW + 3)
    park(flow, "e", 1, ann, now=NOW + 9)
    take(flow, "x", Place("other/1", 1))
    total, *keys = flow.usage("f", 10)
    assert (total.used, total.waiting, total.oldest) == (3, 2, NOW + 3)
    assert [(key.label, key.used, key.waiting, key.oldest) for key in keys] == [
        ("ann", 1, 2, NOW + 3),
        ("bob", 2, 0, None),
    ]
    assert len(flow.usage("f", 1)) == 2
    assert [(u.used, u.waiting) for u in flow.usage("nothing", 10)] == [(0, 0)]


def test_how_many_stand_before_a_run_in_line(flow: FlowStore) -> None:
    assert take(flow, "a")
    for run, rank in (("b", 20), ("c", 10), ("d", 20)):
        park(flow, run, rank)
    assert [flow.ahead("f/k", run, rank) for run, rank in (("c", 10), ("b", 20), ("d", 20))] == [0, 1, 2]
    assert flow.ahead("f/k", "a", 5) is None
    assert flow.ahead("f/other", "b", 20) is None
