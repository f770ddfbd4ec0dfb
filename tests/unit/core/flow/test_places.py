"""Places: their order, their keys, their lines; a store of places against a model of itself."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.flow import concurrency as places
from tidemill.core.flow import keys
from tidemill.model import Event, FunctionSpec, Place
from tidemill.ports import Grant, Hold, Leaver, Waiting
from tidemill_local.store.database import MEMORY, Database


def spec(*limits: dict, id: str = "shop.pay", app: str = "shop", **flow: object) -> FunctionSpec:
    declared = [{"limit": 1, "scope": "function", "counts": "steps"} | limit for limit in limits]
    return FunctionSpec(id, app, "pay", flow={"concurrency": declared, **flow} if declared else flow)


def event(**data: object) -> Event:
    return Event("e", "n", data, 1, 1)


def key_of(spec: FunctionSpec, event: Event) -> str:
    (place,) = places.places(spec, event)
    return place.key


def test_what_two_functions_share():
    one, other = {"id": "shop.a"}, {"id": "shop.b"}
    shared = {"scope": "account", "key": "'openai'"}
    assert key_of(spec(shared, **one), event()) == key_of(spec(shared, **other), event())
    assert key_of(spec(shared, **one), event()) != key_of(spec({**shared, "counts": "runs"}, **other), event())
    assert key_of(spec(shared, **one), event()) != key_of(spec({**shared, "key": "'s3'"}, **other), event())
    for_app = {"scope": "app"}
    assert key_of(spec(for_app, **one), event()) == key_of(spec(for_app, **other), event())
    assert key_of(spec(for_app, **one), event()) != key_of(spec(for_app, **other, app="desk"), event())
    assert key_of(spec({}, **one), event()) != key_of(spec({}, **other), event())


def test_numbers_that_are_equal_are_one_key_and_what_is_missing_is_null():
    by_user = spec({"key": "event.data.user"})
    assert key_of(by_user, event(user=1)) == key_of(by_user, event(user=1.0))
    assert key_of(by_user, event(user=1)) != key_of(by_user, event(user="1"))
    assert key_of(by_user, event()) == key_of(by_user, event(user=None))
    assert keys.notes(by_user, event(user=1)) == ()
    (note,) = keys.notes(by_user, event())
    assert note.startswith("concurrency.key: 'event.data.user' has no value")


def test_everybody_takes_places_in_one_order():
    wide = {"limit": 10}
    narrow = {"key": "event.data.user"}
    whole = {"counts": "runs", "scope": "account"}
    for limits in ((wide, narrow), (narrow, wide)):
        assert [p.limit for p in places.places(spec(*limits), event(user=1))] == [1, 10]
    for limits in ((narrow, whole), (whole, narrow)):
        assert [p.counts for p in places.places(spec(*limits), event(user=1))] == ["runs", "steps"]


def test_a_part_of_a_map_holds_places_for_its_steps_alone():
    found = places.places(spec({"counts": "runs"}, {"limit": 5}), event(), part=True)
    assert [p.counts for p in found] == ["steps"]


def test_priority_is_time():
    pro = spec(priority="event.data.plan == 'pro' ? 120 : 0")
    assert places.rank(pro, event(plan="pro"), 1_000_000) == 880_000
    assert places.rank(pro, event(plan="free"), 1_000_000) == 1_000_000
    assert places.rank(pro, event(), 1_000_000) == 1_000_000
    assert places.rank(spec(priority="event.data.n"), event(n=10_000), 1_000_000) == 400_000
    assert places.rank(spec(priority="event.data.n"), event(n=-10_000), 1_000_000) == 1_600_000
    assert places.rank(spec(priority="event.data.n"), event(n=0.5), 1_000_000) == 999_500


def test_the_limit_is_that_of_now():
    place = places.places(spec({"limit": 1}), event())[0]
    assert places.limit_now(spec({"limit": 5}), place) == 5
    assert places.limit_now(spec({"limit": 5, "key": "event.data.x"}), place) == 1
    assert places.limit_now(None, place) == 1


def served(arrivals: list[tuple[int, bool]], limit: int) -> list[int]:
    """The model: served by rank, then by arrival, at most `limit` at a time. True: before this one, somebody leaves."""
    inside: list[int] = []
    line: list[tuple[int, int]] = []
    order: list[int] = []

    def serve() -> None:
        while line and len(inside) < limit:
            inside.append(line.pop(line.index(min(line)))[1])
            order.append(inside[-1])

    for number, (rank, leaves) in enumerate([*arrivals, *[(0, True)] * len(arrivals)]):
        del inside[: 1 if leaves else 0]
        serve()
        line += [(rank, number)] if number < len(arrivals) else []
        serve()
    return order


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=30), st.integers(1, 4))
def test_places_are_served_as_the_model_serves_them(arrivals, limit):
    place = Place("f/k", limit)
    inside: list[int] = []
    order: list[int] = []

    def enter(runs: list[int]) -> None:
        inside.extend(runs)
        order.extend(runs)

    with Database(MEMORY) as db:
        for number, (rank, leaves) in enumerate([*arrivals, *[(0, True)] * len(arrivals)]):
            if leaves and inside:
                granted = db.flow.pass_on(place, Leaver(str(inside.pop(0)), 9, None), Grant(0, 2**53, lambda _: limit))
                enter([int(run) for run, _ in granted])
            if number < len(arrivals):
                if db.flow.take(place, Hold(str(number), 1, 2**53), 0, known=False):
                    enter([number])
                else:
                    db.flow.park(place, Waiting(str(number), "f", 1, rank), Grant(0, 2**53, lambda _: limit))
            held = db.flow.holders("f/k")
            assert sorted(int(h.run_id) for h in held) == sorted(inside)
            assert len(held) <= limit
        assert order == served(arrivals, limit)
        assert len(order) == len(arrivals)  # nobody starves
