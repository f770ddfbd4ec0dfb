"""The contract of EventStore."""

from __future__ import annotations

from typing import Any

import msgspec

from tidemill.limits import EVENT_BYTES, EVENT_ID_MEMORY
from tidemill.model import FINISHED, SIGNAL, Event, Rejected
from tidemill.ports import EventQuery, EventStore

NOW = 1_790_000_000_000
LATER = NOW * 2


def event(event_id: str, at: int = NOW, name: str = "order/placed", user: dict[str, Any] | None = None) -> Event:
    return Event(event_id, name, {"id": event_id}, at - 50, at, user)


def ids(events: list[Event]) -> list[str]:
    return [e.id for e in events]


def test_an_event_comes_back_whole(events: EventStore) -> None:
    data = {"a": [1, -2, 2.5, None, True, "ü\u2028\x00"], "b": {"c": {}}, "big": 2**63 - 1}
    sent = Event("e/1 ü", "order/placed", data, NOW - 1, NOW, {"id": "u", "plan": ["x"]}, "2026-11-01")
    events.put(sent, ())
    assert events.get("e/1 ü") == sent
    assert events.get("e") is None


def test_the_first_content_under_an_id_stands(events: EventStore) -> None:
    events.put(event("e1"), ())
    events.put(event("e1", NOW + EVENT_ID_MEMORY, name="other"), [("data.a", "h")])
    assert events.get("e1") == event("e1")
    events.put(event("e1", NOW + 1), [("data.a", "h")])
    assert events.get("e1") == event("e1")
    assert events.by_key("other", "data.a", "h", 0, LATER, 9) == []
    assert events.by_name("other", 0, NOW * 2, 9) == []


def test_the_keys_of_another_content_are_not_stored(events: EventStore) -> None:
    events.put(event("e1"), ())
    events.put(Event("e1", "order/placed", {"other": 1}, NOW - 50, NOW), [("data.a", "h")])
    assert events.get("e1") == event("e1")
    assert events.by_key("order/placed", "data.a", "h", 0, LATER, 9) == []


def test_an_id_comes_again_after_its_memory_has_passed(events: EventStore) -> None:
    events.put(event("e1"), [("data.a", "old")])
    again = event("e1", NOW + EVENT_ID_MEMORY + 1)
    events.put(again, [("data.a", "new")])
    assert events.get("e1") == again
    assert events.by_key("order/placed", "data.a", "old", 0, LATER, 9) == []
    assert events.by_key("order/placed", "data.a", "new", 0, LATER, 9) == [again]
    assert events.page(EventQuery()) == [again]


def test_putting_twice_adds_keys(events: EventStore) -> None:
    events.put(event("e1"), ())
    events.put(event("e1"), [("data.a", "h"), ("data.b", "i")])
    events.put(event("e1"), [("data.a", "h")])
    assert ids(events.by_key("order/placed", "data.a", "h", 0, LATER, 9)) == ["e1"]
    assert ids(events.by_key("order/placed", "data.b", "i", 0, LATER, 9)) == ["e1"]
    assert ids(events.page(EventQuery())) == ["e1"]


def test_by_key_is_oldest_first_and_later_than(events: EventStore) -> None:
    for event_id, at in (("z", NOW), ("c", NOW + 2), ("a", NOW + 1), ("b", NOW + 1)):
        events.put(event(event_id, at), [("data.x", "h1")])
    events.put(event("other-value", NOW + 1), [("data.x", "h2")])
    events.put(event("other-path", NOW + 1), [("data.y", "h1")])
    events.put(event("other-name", NOW + 1, name="order/paid"), [("data.x", "h1")])
    events.put(event("no-key", NOW + 1), ())
    assert ids(events.by_key("order/placed", "data.x", "h1", NOW - 1, LATER, 9)) == ["z", "a", "b", "c"]
    assert ids(events.by_key("order/placed", "data.x", "h1", NOW, LATER, 9)) == ["a", "b", "c"]
    assert ids(events.by_key("order/placed", "data.x", "h1", NOW - 1, LATER, 2)) == ["z", "a"]
    assert events.by_key("order/placed", "data.x", "h1", NOW + 2, LATER, 9) == []


def test_the_empty_path_is_a_path(events: EventStore) -> None:
    events.put(event("e1"), [("", "")])
    assert ids(events.by_key("order/placed", "", "", 0, LATER, 9)) == ["e1"]


def test_by_name_is_oldest_first_within_its_bounds(events: EventStore) -> None:
    for event_id, at in (("d", NOW + 3), ("b", NOW + 1), ("c", NOW + 1), ("a", NOW)):
        events.put(event(event_id, at), ())
    events.put(event("x", NOW + 1, name="order/paid"), ())
    assert ids(events.by_name("order/placed", NOW - 1, NOW + 3, 9)) == ["a", "b", "c", "d"]
    assert ids(events.by_name("order/placed", NOW, NOW + 2, 9)) == ["b", "c"]
    assert ids(events.by_name("order/placed", NOW, NOW + 1, 1)) == ["b"]
    assert events.by_name("order/placed", NOW + 1, NOW + 1, 9) == []


def test_awaited_paths_keep_their_first_time(events: EventStore) -> None:
    assert events.paths("order/placed") == {}
    assert events.add_path("order/placed", "data.a", 5) == 5
    assert events.add_path("order/placed", "data.a", 9) == 5
    assert events.add_path("order/placed", "", 7) == 7
    assert events.add_path("order/paid", "data.a", 8) == 8
    assert events.paths("order/placed") == {"data.a": 5, "": 7}


def test_a_path_may_be_added_while_someone_goes_through_them(events: EventStore) -> None:
    events.add_path("order/placed", "data.a", 5)
    paths = events.paths("order/placed")
    for path in paths:
        events.add_path("order/placed", f"{path}.b", 6)
    paths.clear()
    assert events.paths("order/placed") == {"data.a": 5, "data.a.b": 6}


def pages(events: EventStore, **query: Any) -> list[str]:
    """All pages of two, through the cursor."""
    found: list[str] = []
    cursor: tuple[int, str] | None = None
    while page := events.page(EventQuery(limit=2, cursor=cursor, **query)):
        assert len(page) <= 2
        found += ids(page)
        cursor = (page[-1].received_at, page[-1].id)
    assert len(found) == len(set(found))
    return found


def test_lists_are_newest_first(events: EventStore) -> None:
    for event_id, at, name in (("a", 1, "n"), ("b", 3, "m"), ("c", 2, "n"), ("d", 4, "n"), ("e", 5, FINISHED)):
        events.put(event(event_id, NOW + at, name), ())
    assert pages(events) == ["e", "d", "b", "c", "a"]
    assert pages(events, name="n") == ["d", "c", "a"]
    assert pages(events, name="n", after=NOW + 1) == ["d", "c"]
    assert pages(events, after=NOW + 4) == ["e"]
    assert pages(events, name="nothing") == []


def test_lists_may_be_oldest_first_and_end_before_a_time(events: EventStore) -> None:
    for event_id, at, name in (("a", 1, "n"), ("b", 3, "m"), ("c", 2, "n"), ("d", 4, "n"), ("e", 5, FINISHED)):
        events.put(event(event_id, NOW + at, name, user={"id": "u"}), ())
    assert pages(events, oldest=True) == ["a", "c", "b", "d", "e"]
    assert pages(events, oldest=True, name="n") == ["a", "c", "d"]
    assert pages(events, oldest=True, user="u", after=NOW + 1, before=NOW + 5) == ["c", "b", "d"]
    assert pages(events, before=NOW + 4) == ["b", "c", "a"]
    assert pages(events, before=NOW + 4, after=NOW + 2) == ["b"]
    assert pages(events, oldest=True, before=NOW + 1) == []
    assert pages(events, after=NOW + 3, before=NOW + 3, oldest=True) == []
    assert pages(events, after=NOW + 9, before=NOW + 1) == []


def test_the_oldest_of_one_millisecond_are_each_listed_once(events: EventStore) -> None:
    names = [f"e{number}" for number in range(7)]
    for name in names:
        events.put(event(name, NOW, "n"), ())
    assert sorted(pages(events, oldest=True)) == names
    assert pages(events, oldest=True) == pages(events)[::-1]


def test_rejected_events_may_be_oldest_first(events: EventStore) -> None:
    for number in range(4):
        rejected = msgspec.structs.replace(event(f"r{number}", NOW + number, "n"), rejected=Rejected("no"))
        assert events.reject(rejected)
    assert pages(events, rejected=True, oldest=True) == ["r0", "r1", "r2", "r3"]
    assert pages(events, rejected=True, oldest=True, after=NOW, before=NOW + 3) == ["r1", "r2"]
    assert pages(events, rejected=True, before=NOW + 2) == ["r1", "r0"]


def test_pages_lose_nothing_of_one_millisecond(events: EventStore) -> None:
    names = [f"e{(i * 7) % 11}" for i in range(11)]
    for event_id in names:
        events.put(event(event_id), ())
    assert sorted(pages(events)) == sorted(names)
    assert sorted(pages(events, name="order/placed")) == sorted(names)


def test_signals_are_kept_but_never_listed(events: EventStore) -> None:
    signal = event("s", name=SIGNAL, user={"id": "u1"})
    events.put(signal, [("data.signal", "h")])
    events.put(event("e"), ())
    assert pages(events) == ["e"]
    assert pages(events, name=SIGNAL) == []
    assert pages(events, user="u1") == []
    assert events.get("s") == signal
    assert ids(events.by_key(SIGNAL, "data.signal", "h", 0, LATER, 9)) == ["s"]


def test_a_user_is_found_by_the_first_id_named(events: EventStore) -> None:
    users: list[dict[str, Any] | None] = [
        {"id": "u1", "email": "a@b.c"}, {"external_id": "u1"}, {"email": "a@b.c"}, {"phone": "1"}, {"id": 5},
        {"plan": "pro"}, None,
    ]  # fmt: skip
    for number, user in enumerate(users):
        events.put(event(f"e{number}", NOW + number, user=user), ())
    assert pages(events, user="u1") == ["e1", "e0"]
    assert pages(events, user="a@b.c") == ["e2"]
    assert pages(events, user="5", name="order/placed") == ["e4"]
    assert pages(events, user="1", after=NOW + 3) == []
    assert pages(events, user="") == []


def test_an_event_of_any_size_comes_back(events: EventStore) -> None:
    for number, size in enumerate((100, 30_000, 40_000, EVENT_BYTES)):
        sent = Event(f"e{number}", "order/placed", {"text": "x" * size}, NOW, NOW + number, {"id": "u"})
        for _ in range(2):
            events.put(sent, [("data.a", "h")])
        assert events.get(f"e{number}") == sent
        assert events.by_key("order/placed", "data.a", "h", NOW + number - 1, LATER, 9) == [sent]
    assert ids(events.page(EventQuery(user="u"))) == ["e3", "e2", "e1", "e0"]
    other = Event("e3", "order/placed", {"text": "y" * EVENT_BYTES}, NOW, NOW + 3, {"id": "u"})
    events.put(other, [("data.a", "i")])
    assert events.by_key("order/placed", "data.a", "i", 0, LATER, 9) == []


def test_names_ids_and_users_of_any_kind(events: EventStore) -> None:
    long = "ü" * 256
    sent = [
        Event(event_id, name, {}, NOW, NOW + number, {"id": user})
        for number, (event_id, name, user) in enumerate(
            [("a#b", "n#0", "u#1"), ("a", "n", "u"), (long, long, long * 9), ("#", "n#00", "#"), ("%23", "%23", "%23")]
        )
    ]
    for event in sent:
        events.put(event, [("data['#']", "h"), ("data." + "x" * 1_500, "h")])
    assert events.page(EventQuery()) == sent[::-1]
    for event in sent:
        assert events.get(event.id) == event
        assert events.page(EventQuery(name=event.name)) == [event]
        assert event.user is not None
        assert events.page(EventQuery(user=event.user["id"])) == [event]
        assert events.by_name(event.name, 0, NOW * 2, 9) == [event]
        assert events.by_key(event.name, "data['#']", "h", 0, LATER, 9) == [event]
        assert events.by_key(event.name, "data." + "x" * 1_500, "h", 0, LATER, 9) == [event]
    cursor = (sent[2].received_at, sent[2].id)
    assert events.page(EventQuery(cursor=cursor)) == sent[1::-1]


def test_what_looks_like_another_awaited_key_is_none(events: EventStore) -> None:
    alike = [("n#a", "b"), ("n", "a#b"), ("n%23a", "b"), ("n", "a=h#b")]
    for number, (name, path) in enumerate(alike):
        events.put(event(f"e{number}", name=name), [(path, "h")])
    for number, (name, path) in enumerate(alike):
        assert ids(events.by_key(name, path, "h", 0, LATER, 9)) == [f"e{number}"]


def test_an_old_event_whose_id_came_again_is_in_no_list(events: EventStore) -> None:
    again = NOW + EVENT_ID_MEMORY + 1
    events.put(event("e", user={"id": "u"}), [("data.a", "h")])
    events.put(event("e", again, name="order/paid"), ())
    assert pages(events, user="u") == []
    assert pages(events, name="order/placed") == []
    assert events.by_name("order/placed", 0, again, 9) == []
    assert ids(events.by_name("order/paid", 0, again, 9)) == ["e"]


def test_a_page_is_filled_past_what_is_gone(events: EventStore) -> None:
    for number in range(9):
        events.put(event(f"e{number}", NOW + number), ())
    for number in range(3, 9):
        events.put(event(f"e{number}", NOW + EVENT_ID_MEMORY + 9 + number, name="order/paid"), ())
    assert ids(events.page(EventQuery(name="order/placed", limit=2))) == ["e2", "e1"]


def delayed(event_id: str, ts: int, at: int = NOW) -> Event:
    return Event(event_id, "order/placed", {"id": event_id}, ts, at)


def test_a_delayed_event_stands_where_it_takes_effect(events: EventStore) -> None:
    sent = [delayed("later", NOW + 50), event("now", NOW + 20), delayed("sooner", NOW + 10)]
    for each in sent:
        events.put(each, [("data.a", "h"), ("", "")])
        events.put(each, [("data.a", "h")])
    for found in (
        lambda after, before: ids(events.by_key("order/placed", "data.a", "h", after, before, 9)),
        lambda after, before: ids(events.by_key("order/placed", "", "", after, before, 9)),
        lambda after, before: ids(events.by_name("order/placed", after, before, 9)),
    ):
        assert found(0, LATER) == ["sooner", "now", "later"]
        assert found(NOW, NOW + 49) == ["sooner", "now"]
        assert found(NOW + 9, NOW + 10) == ["sooner"]
        assert found(NOW + 10, NOW + 19) == []
        assert found(NOW + 20, NOW + 50) == ["later"]


def test_a_delayed_event_is_listed_once_by_its_receipt(events: EventStore) -> None:
    for each in (delayed("a", NOW + 99), event("b", NOW + 1), delayed("c", NOW + 9, NOW + 2)):
        events.put(each, ())
    assert ids(list(events.page(EventQuery()))) == ["c", "b", "a"]
    assert ids(list(events.page(EventQuery(name="order/placed")))) == ["c", "b", "a"]


def test_a_delayed_event_is_due_until_it_has_been_seen_to(events: EventStore) -> None:
    for each in (delayed("b", NOW + 60), event("now"), delayed("a/ü", NOW + 50), delayed("c", NOW + 70)):
        events.put(each, ())
    assert events.delayed(NOW + 49, 9) == []
    assert events.delayed(NOW + 50, 9) == [("a/ü", NOW + 50)]
    assert events.delayed(NOW + 99, 2) == [("a/ü", NOW + 50), ("b", NOW + 60)]
    events.redue("a/ü", NOW + 90)
    events.redue("b", None)
    events.redue("b", NOW + 1)
    events.redue("now", NOW + 1)
    events.redue("nobody", NOW + 1)
    events.put(delayed("b", NOW + 60), [("data.a", "h")])
    assert events.delayed(NOW + 99, 9) == [("c", NOW + 70), ("a/ü", NOW + 90)]


def test_the_id_of_a_delayed_event_stands_until_its_memory_has_passed(events: EventStore) -> None:
    first = delayed("e", NOW + 3 * EVENT_ID_MEMORY)
    assert events.put(first, ())
    assert not events.put(event("e", NOW + 4 * EVENT_ID_MEMORY), ())
    assert events.get("e") == first
    assert events.put(event("e", NOW + 4 * EVENT_ID_MEMORY + 1), ())


def rejection(event_id: str, at: int = NOW, name: str = "order/placed", user: dict[str, Any] | None = None) -> Event:
    why = Rejected("it does not fit", [{"index": 0, "loc": ["data"], "msg": "no"}], {"name": name, "data": 3})
    return Event(event_id, name, {}, at - 50, at, user, rejected=why)


def test_a_rejected_event_is_kept_apart_from_all_others(events: EventStore) -> None:
    kept = rejection("r1")
    assert events.reject(kept)
    assert events.reject(kept)  # harmless to do twice
    assert not events.reject(rejection("r1", NOW + 1))
    assert events.rejected("r1") == kept
    assert events.rejected("e1") is None
    assert events.get("r1") is None
    assert events.page(EventQuery()) == []
    assert events.by_name("order/placed", 0, LATER, 9) == []
    assert events.page(EventQuery(rejected=True)) == [kept]


def test_a_rejected_event_may_be_larger_than_an_item(events: EventStore) -> None:
    why = Rejected("it does not fit", [], {"name": "order/placed", "data": "x" * 700_000})
    kept = Event("r1", "order/placed", {}, NOW, NOW, None, rejected=why)
    assert events.reject(kept)
    assert events.reject(kept)  # what is kept is read again, to see that it is the same
    assert events.rejected("r1") == kept


def test_rejected_events_are_listed_newest_first_with_filters(events: EventStore) -> None:
    kept = [rejection(f"r{n}", NOW + n, "a" if n % 2 else "b", {"id": "u1"} if n < 2 else None) for n in range(5)]
    for one in kept:
        events.reject(one)
    assert ids(events.page(EventQuery(rejected=True))) == ["r4", "r3", "r2", "r1", "r0"]
    assert ids(events.page(EventQuery(rejected=True, name="a"))) == ["r3", "r1"]
    assert ids(events.page(EventQuery(rejected=True, user="u1"))) == ["r1", "r0"]
    assert ids(events.page(EventQuery(rejected=True, after=NOW + 2))) == ["r4", "r3"]
    assert ids(events.page(EventQuery(rejected=True, limit=2))) == ["r4", "r3"]
    assert ids(events.page(EventQuery(rejected=True, limit=2, cursor=(NOW + 3, "r3")))) == ["r2", "r1"]
    assert ids(events.page(EventQuery(rejected=True, before=NOW + 2))) == ["r1", "r0"]
    assert ids(events.page(EventQuery(rejected=True, oldest=True, cursor=(NOW + 2, "r2")))) == ["r3", "r4"]


def test_a_rejected_event_that_is_accepted_leaves_the_list_and_stays_known(events: EventStore) -> None:
    kept = rejection("r1")
    events.reject(kept)
    events.put(Event("r1", "order/placed", {"id": "r1"}, NOW - 50, NOW + 9), ())
    events.accepted("r1")
    events.accepted("r1")
    assert events.page(EventQuery(rejected=True)) == []
    assert events.rejected("r1") == kept
    assert ids(events.page(EventQuery())) == ["r1"]
