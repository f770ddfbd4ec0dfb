"""What EventBridge is asked to match of a function's triggers: all that they take, and where it can, no more."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from moto.events.models import EventPattern

from tidemill.aws.messages.envelope import entry
from tidemill.core.expression import compile as compile_expression
from tidemill.core.pattern import LONGEST, pattern
from tidemill.model import Event, EventTrigger, Trigger, event_fields, name_matches


def detail_of(*triggers: Trigger) -> Any:
    made = pattern(triggers)
    assert made is not None
    assert made["source"] == ["tidemill"]
    return made["detail"]


@pytest.mark.parametrize(
    ("when", "filters"),
    [
        ("event.data.plan == 'pro'", {"data": {"plan": ["pro"]}}),
        ("'pro' == event.data.plan", {"data": {"plan": ["pro"]}}),
        ("event.data.n == 3", {"data": {"n": [{"numeric": ["=", 3]}]}}),
        ("event.data.paid", {"data": {"paid": [True]}}),
        ("!event.data.paid", {"data": {"paid": [False]}}),
        ("event.data.plan in ['pro', 'team']", {"data": {"plan": ["pro", "team"]}}),
        ("event.data.plan == 'pro' || event.data.plan == 'team'", {"data": {"plan": ["pro", "team"]}}),
        ("event.data.a == 'x' && event.data.b == 'y'", {"data": {"a": ["x"], "b": ["y"]}}),
        ("(event.data.a == 'x') && (event.data.a2.startsWith('y'))", {"data": {"a": ["x"], "a2": [{"prefix": "y"}]}}),
        ("event.data.file.endsWith('.png')", {"data": {"file": [{"suffix": ".png"}]}}),
        ("event.data.text.contains('tide')", {"data": {"text": [{"exists": True}]}}),
        ("event.data.at > '2020-01-01'", {"data": {"at": [{"exists": True}]}}),
        ("!has(event.data.gone)", {"data": {"gone": [{"exists": False}]}}),
        ("event.data.gone == null", {"data": {"gone": [None]}}),
        ("event.user == null", {"user": [None, {"exists": False}]}),
        ("event.v != '1'", {"v": [{"anything-but": ["1"]}, {"exists": False}]}),
        ("event.id != 'a'", {"id": [{"anything-but": ["a"]}]}),
        ("event.data['a-b'] == 'x'", {"data": {"a-b": ["x"]}}),
        ("event.data.n == 0.1234567", {"data": {"n": [{"exists": True}]}}),
        ("event.data.n == 6000000000", {"data": {"n": [{"exists": True}]}}),
    ],
)  # fmt: skip
def test_compiles(when: str, filters: dict[str, Any]) -> None:
    assert detail_of(EventTrigger("a", when)) == {"name": ["a"], **filters}


@pytest.mark.parametrize(
    "when",
    [
        "event.data.plan != 'free'",  # true of lists and objects, which EventBridge does not see
        "has(event.data.plan)",
        "'admin' in event.data.roles",
        "event.data.a == event.data.b",
        "event.data.items[0] == 1",
        "event.data.items.all(x, x > 1)",
        "size(event.data.items) > 3",
        "event.data.a == 'x' ? true : event.data.b",
        "!(event.data.a == 'x')",
        "event.data.a == 'x' || size(event.data.b) > 1",
        "event.ts > 5",
        "event.data['a.b'] == 'x'",
        "event.data.numeric == 'x'",
        "event.data.a == event.data.b == true",
        "event.data.a == 'it\\'s'",
    ],
)
def test_left_to_the_layer(when: str) -> None:
    assert detail_of(EventTrigger("a", when)) == {"name": ["a"]}


def test_ranges_take_events_whose_numbers_eventbridge_cannot_compare() -> None:
    assert detail_of(EventTrigger("a", "event.data.n >= 18 && event.data.n < 65")) == {
        "name": ["a"],
        "$or": [{"data": {"n": [{"numeric": [">=", 18, "<", 65]}]}}, {"inexact": [True]}],
    }


def test_what_cannot_be_a_range_is_half_of_it() -> None:
    assert detail_of(EventTrigger("a", "event.data.n > 5 && event.data.n < 5"))["$or"][0] == {
        "data": {"n": [{"numeric": [">", 5]}]}
    }


def test_a_conjunction_keeps_what_it_can() -> None:
    assert detail_of(EventTrigger("a", "event.data.plan == 'pro' && size(event.data.items) > 3")) == {
        "name": ["a"],
        "data": {"plan": ["pro"]},
    }


def test_names() -> None:
    assert detail_of(EventTrigger("a"), EventTrigger("user/*")) == {"name": ["a", {"prefix": "user/"}]}
    assert detail_of(EventTrigger("*")) == {"name": [{"anything-but": {"prefix": "tidemill/"}}]}
    assert pattern([]) is None


def test_triggers_with_conditions_of_their_own() -> None:
    found = detail_of(EventTrigger("a", "event.data.x == 'p'"), EventTrigger("b", "event.data.y == 'q'"))
    assert found == {"$or": [{"name": ["a"], "data": {"x": ["p"]}}, {"name": ["b"], "data": {"y": ["q"]}}]}


def test_a_trigger_without_condition_takes_its_name_whole() -> None:
    assert detail_of(EventTrigger("a", "event.data.x == 'p'"), EventTrigger("a")) == {"name": ["a"]}


def test_what_is_too_long_loses_its_longest_filters() -> None:
    many = ", ".join(f"'{'x' * 50}{n}'" for n in range(40))
    trigger = EventTrigger("a", f"event.data.id in [{many}] && event.data.plan == 'pro'")
    assert detail_of(trigger) == {"name": ["a"], "data": {"plan": ["pro"]}}


def test_ten_names_of_256_characters_fit() -> None:
    triggers = [EventTrigger(chr(0x1F300 + n) * 256) for n in range(10)]
    assert len(json.dumps(pattern(triggers))) <= LONGEST
    assert len(detail_of(*triggers)["name"]) == 10


# --- pattern and condition, on random events -----------------------------------------------------------

names = st.sampled_from(["a", "ab", "b", "tidemill/function.failed"])
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 2, 17.5, 18, 5e9, -5e9, 5_000_000_001, 1e300, 0.1, 0.1 + 0.2, 0.3, 1e-7, 1.0000001]),
    st.sampled_from(["", "x", "xy", "y", "1", "é", "a\nb", "true"]),
)
keys = st.sampled_from(["a", "b", "a-b"])
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2))
objects = st.dictionaries(keys, values, max_size=3)
events = st.builds(
    Event,
    id=st.sampled_from(["x", "y"]),
    name=names,
    data=objects,
    ts=st.just(1_790_000_000_000),
    received_at=st.just(1_790_000_000_000),
    user=st.none() | objects,
    v=st.sampled_from([None, "1", "x"]),
)

paths = st.sampled_from(
    [
        *("event.id", "event.name", "event.ts", "event.v", "event.user", "event.user.a"),
        *("event.data", "event.data.a", "event.data.b", "event.data['a-b']", "event.data.a.b", "event.data.a[0]"),
    ]
)
methods = st.sampled_from(["startsWith", "endsWith", "contains"])
literals = scalars.filter(lambda value: value != "a\nb").map(
    lambda value: repr(value) if isinstance(value, str) else json.dumps(value)
)
comparisons = st.one_of(
    st.builds("{} {} {}".format, paths, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), literals),
    st.builds("{} {} {}".format, literals, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), paths),
    st.builds("{} in [{}]".format, paths, st.lists(literals, min_size=1, max_size=3).map(", ".join)),
    st.builds("{} in {}".format, literals, paths),
    st.builds("{} == {}".format, paths, paths),
    st.builds("has({})".format, paths.filter(lambda path: path.count(".") > 1 and "[" not in path)),
    st.builds("!has({})".format, paths.filter(lambda path: path.count(".") > 1 and "[" not in path)),
    st.builds("!{}".format, paths),
    st.builds("{}.{}({!r})".format, paths, methods, st.sampled_from("xy")),
    paths,
)  # fmt: skip
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        st.builds("{} && {}".format, inner, inner),
        st.builds("{} || {}".format, inner, inner),
        st.builds("({})".format, inner),
        st.builds("!({})".format, inner),
        st.builds("({}) ? {} : {}".format, inner, comparisons, comparisons),
    ),
    max_leaves=6,
)
triggers = st.builds(EventTrigger, st.sampled_from(["a", "a*", "b", "*", "tidemill/*"]), st.none() | conditions)


def matches(wanted: Any, value: Any) -> bool:
    """As little as EventBridge may match: leaves only, numbers within its bounds only."""
    if isinstance(wanted, dict):
        return all(
            any(matches(one, value) for one in each) if key == "$or" else _at(each, value, key)
            for key, each in wanted.items()
        )
    raise AssertionError(wanted)


def _at(wanted: Any, value: Any, key: str) -> bool:
    held = value.get(key, ...) if isinstance(value, dict) else ...
    if isinstance(wanted, dict):
        inner = held if isinstance(held, list) else [held]
        return any(matches(wanted, one) for one in inner)
    leaves = held if isinstance(held, list) else [held]
    return any(_leaf(one, leaf) for one in wanted for leaf in leaves)


def _leaf(wanted: Any, leaf: Any) -> bool:
    if wanted == {"exists": False}:
        return leaf is ...
    if leaf is ... or isinstance(leaf, (dict, list)):
        return False
    if not isinstance(wanted, dict):
        return type(wanted) is type(leaf) and wanted == leaf
    ((kind, operand),) = wanted.items()
    if kind == "exists":
        return True
    if kind == "numeric":
        return _is_number(leaf) and _is_in(operand, leaf)
    if kind == "anything-but":
        other = {"prefix": operand["prefix"]} if isinstance(operand, dict) else None
        return not _leaf(other, leaf) if other else leaf not in operand
    return isinstance(leaf, str) and (leaf.startswith if kind == "prefix" else leaf.endswith)(operand)


def _is_number(leaf: Any) -> bool:
    if isinstance(leaf, bool) or not isinstance(leaf, (int, float)):
        return False
    return abs(leaf) <= 5e9 and float(f"{leaf:.6f}") == leaf


def _is_in(bounds: list[Any], value: float) -> bool:
    compare = {"=": value.__eq__, "<": value.__lt__, "<=": value.__le__, ">": value.__gt__, ">=": value.__ge__}
    return (
        all(compare[bounds[at]](bounds[at + 1]) is True for at in range(0, len(bounds), 2))
        if isinstance(value, float)
        else _is_in(bounds, float(value))
    )


def takes(trigger: EventTrigger, event: Event) -> bool:
    if not name_matches(trigger.name, event.name):
        return False
    return trigger.when is None or compile_expression(trigger.when).holds({"event": event_fields(event)})


@given(st.lists(triggers, min_size=1, max_size=3), events)
@example([EventTrigger("a", "event.data.a > 0")], Event("x", "a", {"a": 6_000_000_000}, 1, 1))
@example([EventTrigger("a", "event.data.a > 0")], Event("x", "a", {"a": 0.1 + 0.2}, 1, 1))
def test_no_event_is_dropped(given_triggers: list[EventTrigger], event: Event) -> None:
    made = pattern(given_triggers)
    assert made is not None
    assert len(json.dumps(made)) <= LONGEST
    sent = {"source": "tidemill", "detail": msgspec.json.decode(entry(event, "bus")["Detail"])}
    if any(takes(trigger, event) for trigger in given_triggers):
        assert EventPattern(None, made).matches_event(sent)  # type: ignore[arg-type]
        assert matches({"detail": made["detail"]}, sent)
