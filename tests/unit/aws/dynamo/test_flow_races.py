"""Places in DynamoDB, where others come in between any two calls, answers get lost, and processes die."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidemill.aws.calls.client import Reply, Request
from tidemill.aws.dynamo.flow import DynamoFlow
from tidemill.aws.dynamo.flow_usage import IN_LINE
from tidemill.aws.dynamo.keys import TTL, flow_key, line_key
from tidemill.aws.dynamo.table import Table
from tidemill.errors import Unavailable
from tidemill.limits import DAY, SECOND, SLEEP
from tidemill.model import Place
from tidemill.ports import Grant, Hold, Leaver, Waiting, Window
from tidemill_local.testing import moto

NOW, UNTIL = 1_790_000_000_000, 1_790_000_060_000
ONE, TWO = Place("f/k", 1, label="ann"), Place("f/k", 2, label="ann")


class Between:
    """A transport that, once, does something before or after the next call of an operation."""

    def __init__(self) -> None:
        self._inner = moto.MotoTransport()
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}

    def __call__(self, request: Request) -> Reply:
        self.before.pop(request.operation, lambda: None)()
        reply = self._inner(request)
        self.after.pop(request.operation, lambda: None)()
        return reply


def lost() -> None:
    raise TimeoutError("the answer was lost")


def died() -> None:
    raise KeyboardInterrupt


class Two:
    """Two processes: `one`, whose calls are watched, and `other`."""

    def __init__(self) -> None:
        self.name = moto.fresh("races")
        moto.create_table(moto.client(), self.name)
        self.between = Between()
        client = moto.client(self.between, sleep=lambda _: None)
        self.one, self.other = DynamoFlow(Table(client, self.name)), self.process()
        self.table = Table(moto.client(), self.name)

    def process(self) -> DynamoFlow:
        return DynamoFlow(Table(moto.client(), self.name))


@pytest.fixture
def two() -> Two:
    return Two()


def take(flow: DynamoFlow, run: str, place: Place = ONE, now: int = NOW, known: bool = False) -> bool:
    return flow.take(place, Hold(run, 1, UNTIL), now, known=known)


def park(flow: DynamoFlow, run: str, rank: int, place: Place = ONE, now: int = NOW) -> list[str]:
    granted = flow.park(place, Waiting(run, "shop.pay", 1, rank), Grant(now, UNTIL, lambda _: place.limit))
    return [run_id for run_id, _ in granted]


def leave(flow: DynamoFlow, run: str, place: Place = ONE, rank: int | None = None) -> list[str]:
    return [
        run_id for run_id, _ in flow.pass_on(place, Leaver(run, None, rank), Grant(NOW, UNTIL, lambda _: place.limit))
    ]


def holding(two: Two) -> set[str]:
    return {holder.run_id for holder in two.other.holders("f/k")}


def test_who_comes_to_stand_in_line_while_the_place_is_given_up_gets_it(two: Two) -> None:
    """The holder has found no mark of a line; or the newcomer's look comes after, and finds the place free."""
    take(two.other, "a")
    two.between.before["UpdateItem"] = lambda: two.table.put(
        {"pk": line_key("f/k"), "sk": "10#b", "f": "shop.pay", "k": 1, "s": NOW}
    )  # the position; the mark comes later
    assert leave(two.one, "a") == []
    assert park(two.other, "b", 10) == ["b"]


def test_nobody_is_overlooked_who_comes_when_the_line_was_found_empty(two: Two) -> None:
    take(two.one, "a")
    park(two.one, "b", 10)
    assert leave(two.one, "a") == ["b"]
    two.between.after["Query"] = lambda: park(two.other, "c", 20)  # the mark is still there, the line empty
    assert leave(two.one, "b") == ["c"]
    assert holding(two) == {"c"}


def test_two_who_leave_at_once_give_to_two(two: Two) -> None:
    for run in ("a", "x"):
        take(two.one, run, TWO)
    for rank, run in enumerate(("b", "c", "d")):
        park(two.other, run, rank, TWO)
    given: list[str] = []
    two.between.before["TransactWriteItems"] = lambda: given.extend(leave(two.other, "x", TWO))
    assert (leave(two.one, "a", TWO), given) == (["c"], ["b"])
    assert holding(two) == {"b", "c"}


def test_who_leaves_the_line_when_it_is_given_a_place_passes_it_on(two: Two) -> None:
    take(two.one, "a")
    park(two.one, "b", 10)
    park(two.one, "c", 20)
    two.between.before["DeleteItem"] = lambda: leave(two.other, "a")
    assert leave(two.one, "b", rank=10) == ["c"]
    assert holding(two) == {"c"}


def test_only_one_takes_over_a_lapsed_place(two: Two) -> None:
    take(two.other, "a")
    assert not take(two.one, "b")
    taken: list[bool] = []

    def other() -> None:
        two.between.before["UpdateItem"] = lambda: taken.append(take(two.other, "c", now=UNTIL))

    two.between.before["UpdateItem"] = other
    assert not take(two.one, "b", now=UNTIL)
    assert taken == [True]
    assert holding(two) == {"c"}


def test_a_lapsed_holder_that_comes_back_in_time_keeps_its_place(two: Two) -> None:
    take(two.other, "a")
    park(two.other, "b", 10)
    two.between.before["TransactWriteItems"] = lambda: two.other.take(ONE, Hold("a", 2, UNTIL + 9), UNTIL, known=True)
    assert park(two.one, "c", 20, now=UNTIL) == []
    assert holding(two) == {"a"}


def test_whoever_dies_before_it_has_told_the_one_it_gave_its_place_to_tells_it_the_next_time(two: Two) -> None:
    take(two.one, "a")
    park(two.one, "b", 10)
    two.between.after["TransactWriteItems"] = died
    with pytest.raises(KeyboardInterrupt):
        leave(two.one, "a")
    again = two.process()
    assert leave(again, "a") == ["b"]
    assert leave(again, "a") == ["b"]
    assert take(again, "b", known=True)
    assert leave(again, "a") == []


def test_who_dies_in_line_before_it_has_told_another_tells_it_the_next_time(two: Two) -> None:
    take(two.one, "a")
    park(two.one, "b", 10)
    two.between.after["TransactWriteItems"] = died
    with pytest.raises(KeyboardInterrupt):
        park(two.one, "c", 20, now=UNTIL)  # what a held has lapsed
    assert park(two.process(), "c", 20, now=UNTIL - 1) == ["b"]


def test_a_position_without_a_mark_brings_nobody_a_place_twice(two: Two) -> None:
    """Its process died between the two; the run came again, and found the place free."""
    two.between.after["UpdateItem"] = died
    with pytest.raises(KeyboardInterrupt):
        park(two.one, "b", 10)
    assert take(two.other, "b", TWO)
    assert park(two.other, "c", 20, TWO) == ["c"]
    assert holding(two) == {"b", "c"}
    assert list(two.table.query(line_key("f/k"))) == []


def test_lost_answers(two: Two) -> None:
    """Each call is made again, as the client does it, and finds its own work done."""
    two.between.after["UpdateItem"] = lost
    assert take(two.one, "a")
    two.between.after["UpdateItem"] = lost
    assert park(two.one, "b", 10) == []
    two.between.after["TransactWriteItems"] = lost
    assert leave(two.one, "a") == ["b"]
    two.between.after["UpdateItem"] = lost
    assert take(two.one, "b", known=True)
    two.between.after["UpdateItem"] = lost
    assert leave(two.one, "b") == []
    assert holding(two) == set()
    assert take(two.one, "c")
    two.between.after["UpdateItem"] = lost
    assert two.one.count("r/k", "a", NOW, 1, 1_000)
    two.between.after["UpdateItem"] = lost
    assert two.one.first("i/k", "a", NOW, UNTIL) == "a"
    two.between.after["UpdateItem"] = lost
    assert two.one.move_window("w/k", None, Window("a", 0, 1, NOW), NOW).run_id == "a"
    two.between.after["UpdateItem"] = lost
    assert two.one.spend("t/k", NOW, 1, 1_000) in (NOW + 1_000, NOW + 2_000)  # a slot may be lost, never given twice


def test_where_others_are_faster_again_and_again_the_message_comes_again(two: Two) -> None:
    """Twelve others in a row, each just before; then nothing is lost: what is to be done is done by who comes next."""
    many = Place("f/k", 40)
    for number in range(20):
        take(two.other, f"h{number}", many)
    for number in range(30):
        two.table.put({"pk": line_key("f/k"), "sk": f"{number:015d}#w{number}", "f": "f", "k": 1, "s": NOW})
    two.table.update(flow_key("f/k"), "#", add={"w": 1})
    narrow = Place("f/k", 20)
    turn = iter(range(1, 20))

    def faster() -> None:
        two.between.before["TransactWriteItems"] = faster
        leave(two.other, f"h{next(turn)}", narrow)

    two.between.before["TransactWriteItems"] = faster
    with pytest.raises(Unavailable):
        leave(two.one, "h0", narrow)
    two.between.before.clear()
    assert leave(two.one, "h0", narrow) == ["w12"]


# Rates, throttles.


def test_a_throttle_that_two_processes_move_on_gives_each_its_own_slot(two: Two) -> None:
    slots = [flow.spend("t/k", NOW + n, 1, 1_000) for n in range(4) for flow in (two.one, two.other)]
    assert slots == [NOW + 1_000 * (n + 1) for n in range(8)]
    later = NOW + 100_000
    two.between.before["UpdateItem"] = lambda: two.other.spend("t/k", later, 1, 1_000)
    assert two.one.spend("t/k", later, 1, 1_000) == later + 2_000


def test_a_rate_with_a_lower_limit_forgets_what_is_too_much(two: Two) -> None:
    for number in range(200):
        assert two.one.count("r/k", f"run {number}", NOW, 200, 1_000)
    assert not two.one.count("r/k", "a", NOW + 999, 3, 1_000)
    assert [two.one.count("r/k", run, NOW + 1_000, 3, 1_000) for run in ("a", "b", "c", "d", "a")] == [
        *(True, True, True, False, True)
    ]
    assert len(two.table.get(flow_key("r/k"), "#") or {}) == 3 + 4


def test_a_rate_that_others_count_at_once_is_exact(two: Two) -> None:
    for run in ("a", "b"):
        two.one.count("r/k", run, NOW, 2, 1_000)
    later = NOW + 1_000
    answers: list[bool] = []

    def others() -> None:
        two.between.before["UpdateItem"] = lambda: answers.extend(
            two.other.count("r/k", run, later, 2, 1_000) for run in ("x", "y", "z")
        )

    two.between.before["UpdateItem"] = others
    assert not two.one.count("r/k", "c", later, 2, 1_000)
    assert answers == [True, True, False]


# What is left.


def test_every_item_expires_some_time_after_its_last_use(two: Two) -> None:
    take(two.one, "a")
    park(two.one, "b", 10)
    runs = Place("g/k", 1, "runs")
    take(two.one, "a", runs)
    two.one.spend("t/k", NOW, 1, 1_000)
    two.one.count("r/k", "a", NOW, 1, 1_000)
    two.one.first("i/k", "a", NOW, NOW + DAY)
    two.one.move_window("w/k", None, Window("a", 0, 1, NOW), NOW)
    for key in ("f/k", "g/k", "t/k", "r/k", "i/k", "w/k"):
        item = two.table.get(flow_key(key), "#")
        assert item is not None
        assert item[TTL] > (NOW + DAY) // SECOND - 1 or key == "r/k"
        assert key not in ("g/k", "t/k") or item[TTL] > (NOW + SLEEP) // SECOND  # held, or ahead, for so long
    assert all(TTL in item for item in two.table.query(line_key("f/k")))


def test_a_label_that_is_no_text_for_aws(two: Two) -> None:
    odd = Place("f/k", 1, label="\ud800")
    assert take(two.one, "a", odd)
    assert [usage.label for usage in two.one.usage("f", 5)] == ["", "\ud800"]


def test_usage_is_bounded_work(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidemill.aws.dynamo.flow_usage.IN_LINE", 3)
    monkeypatch.setattr("tidemill.aws.dynamo.flow_usage.LINES", 1)
    assert IN_LINE == 1_000
    busy, full = Place("f/busy", 1, label="busy"), Place("f/full", 2, label="full")
    take(two.one, "a", busy)
    for run in ("b", "c"):
        take(two.one, run, full)
    for number in range(5):
        park(two.one, f"w{number}", number, full)
    park(two.one, "z", 0, busy)
    total, *keys = two.one.usage("f", 5)
    assert (total.used, total.waiting) == (3, 3)  # at least so many
    assert [(key.label, key.used, key.waiting) for key in keys] == [("full", 2, 3), ("busy", 1, 0)]
