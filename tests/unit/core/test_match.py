from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.cel.subset import equal
from tidemill.core.cel.tokens import Literal
from tidemill.core.expression import ExpressionError, compile  # noqa: A004
from tidemill.core.match import (
    MISSING,
    Key,
    Split,
    check,
    condition_holds,
    lookup,
    resolve,
    split,
    value_hash,
)
from tidemill.model import Condition

ROOTS = frozenset({"event", "async"})


def _event(**data: Any) -> dict[str, Any]:
    return {"name": "x", "data": data}


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("async.data.x == event.data.y", Split(Key("data.x", ("data", "y")), ())),
        ("event.data.y == async.data.x", Split(Key("data.x", ("data", "y")), ())),
        ("async.data['a-b'][0] == event.id", Split(Key("data['a-b'][0]", ("id",)), ())),
        ("async.data.x == 'paid && done'", Split(Key("data.x", Literal("paid && done")), ())),
        ("-1.5 == async.data.x", Split(Key("data.x", Literal(-1.5)), ())),
        ("async.data.ok == true", Split(Key("data.ok", Literal(value=True)), ())),
        (
            "async.data.kind == 'a' && async.data.x == event.data.x && async.data.n > 3",
            Split(Key("data.x", ("data", "x")), ("async.data.kind == 'a'", "async.data.n > 3")),
        ),
        (
            "(async.data.x == event.data.x && (async.data.n > 3 || async.data.n < 1)) && event.data.z",
            Split(Key("data.x", ("data", "x")), ("async.data.n > 3 || async.data.n < 1", "event.data.z")),
        ),
        ("((async.data.x == event.data.x))", Split(Key("data.x", ("data", "x")), ())),
        ("async.data.x == 1 || async.data.y == 2", Split(None, ("async.data.x == 1 || async.data.y == 2",))),
        ("async.data.x == 1 ? true : false", Split(None, ("async.data.x == 1 ? true : false",))),
        ("!(async.data.x == 1)", Split(None, ("!(async.data.x == 1)",))),
        ("async.data.x == 1 == true", Split(None, ("async.data.x == 1 == true",))),
        ("async.data.x == async.data.y", Split(None, ("async.data.x == async.data.y",))),
        ("event.data.x == event.data.y", Split(None, ("event.data.x == event.data.y",))),
        ("async.data.x == event.data.x + 1", Split(None, ("async.data.x == event.data.x + 1",))),
        ("async.data.x != event.data.x", Split(None, ("async.data.x != event.data.x",))),
        ("(async.data.x) == 1 && (true)", Split(None, ("(async.data.x) == 1", "true"))),
        ("[1 == async.data.x && true] == [true]", Split(None, ("[1 == async.data.x && true] == [true]",))),
    ],
)
def test_splits_at_the_top(when: str, expected: Split) -> None:
    assert split(when) == expected


def test_match_compares_one_path_of_both_events() -> None:
    condition = resolve(_event(video_id="v1"), match="data.video_id")
    assert condition == Condition(path="data.video_id", hash=value_hash("v1"))
    assert condition_holds(condition, _event(video_id="v1"), _event(video_id="v1"))
    assert not condition_holds(condition, _event(video_id="v1"), _event(video_id="v2"))
    assert not condition_holds(condition, _event(video_id="v1"), _event())


def test_when_filters_what_the_key_finds() -> None:
    mine = _event(id=1, least=5)
    condition = resolve(mine, when="async.data.id == event.data.id && async.data.n > event.data.least")
    assert condition.path == "data.id"
    assert condition_holds(condition, mine, _event(id=1.0, n=6))
    assert not condition_holds(condition, mine, _event(id=1, n=5))
    assert not condition_holds(condition, mine, _event(id=1))
    assert not condition_holds(condition, mine, _event(id=True, n=6))


def test_a_path_missing_in_the_runs_event_matches_nothing() -> None:
    for condition in (
        resolve(_event(), match="data.x"),
        resolve(_event(), when="async.data.x == event.data.x && async.data.n > 1"),
    ):
        assert condition.never
        assert not condition_holds(condition, _event(), _event(x=None, n=2))
        assert not condition_holds(condition, _event(), _event(n=2))


def test_no_condition_takes_every_event() -> None:
    assert resolve(_event()) == Condition()
    assert condition_holds(Condition(), _event(), _event())


def test_a_condition_survives_its_journal() -> None:
    condition = resolve(_event(x=1), when="async.data.x == event.data.x && async.data.y")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(condition), type=Condition) == condition


@pytest.mark.parametrize(
    "match", ["", "x", "video_id", "data..x", "data.x == 1", "event.data.x", "data[", "data.x()", "data.x || true", "1"]
)
def test_a_match_that_is_no_path_is_refused(match: str) -> None:
    with pytest.raises(ExpressionError, match=r"is not a path of an event: begin with data") as refused:
        check(match=match)
    assert f"'{match}'" in str(refused.value)
    with pytest.raises(ExpressionError):
        resolve(_event(), match=match)


def test_a_bad_condition_is_refused() -> None:
    with pytest.raises(ExpressionError, match="column 17"):
        check(when="async.data.x == ")
    with pytest.raises(ExpressionError, match="'data' is not known here"):
        check(when="data.x == async.data.x")
    with pytest.raises(ExpressionError, match="not both"):
        check(match="data.x", when="true")
    check(match="data['a-b']")
    check(when="true")
    check()


def test_lookup() -> None:
    event = _event(**{"a-b": [{"c": 1}], "none": None})
    assert lookup("data['a-b'][0].c", event) == 1
    assert lookup("data.none", event) is None
    assert lookup("data.missing", event) is MISSING
    assert lookup("user.id", event) is MISSING
    assert lookup("name", event) == "x"


def test_hashes_never_change() -> None:
    # Waits are stored under these: another value would lose every wait of a running system.
    assert value_hash("v1") == "02da9c1a77b5baa83c284c89"
    assert value_hash({"b": [1, 2.5, None, True], "a": {}}) == "cfc5b99bb66b87f309f97f0f"


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.integers()
    | st.sampled_from([1.0, -0.0, 0.5, 2.0**60, 1e300])
    | st.floats(allow_nan=False)
    | st.sampled_from(["", "1", "true", "a,b", "1'a'"])
    | st.text(max_size=3),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.sampled_from(["x", "y", ""]), some, max_size=3),
    max_leaves=6,
)


@given(_json, _json)
def test_hashes_are_equal_where_values_are(one: Any, other: Any) -> None:
    assert (value_hash(one) == value_hash(other)) is equal(one, other)


def test_hashes_tell_kinds_apart() -> None:
    kinds: list[Any] = [1, True, "1", "True", None, "None", [1], {"1": 1}, [], {}, "", [[]], ["1,1"], ["1", "1"]]
    assert len({value_hash(kind) for kind in kinds}) == len(kinds)
    assert value_hash(1) == value_hash(1.0)
    assert value_hash({"a": 1, "b": 2.0}) == value_hash({"b": 2, "a": 1.0})
    assert value_hash(2**63) != value_hash(2**63 + 1)
    assert value_hash("\ud800") != value_hash("?")


_sides = st.sampled_from(
    [
        *("async.data.a", "async.data.b", "async.data['a-b']", "event.data.a", "event.data.b", "async.name"),
        *("1", "1.0", "'x'", "true", "null", "'x && y'"),
    ]
)
_parts = st.tuples(_sides, st.sampled_from(["==", "==", "==", "!=", "<", "in"]), _sides).map(
    " ".join
) | st.sampled_from(["async.data.a", "has(async.data.b)", "size(async.data.b) == 1", "!async.data.a", "true"])
_conditions = st.recursive(
    _parts,
    lambda some: (
        st.lists(some, min_size=2, max_size=3).map(" && ".join)
        | st.tuples(some, some).map(" || ".join)
        | some.map("({})".format)
        | st.tuples(some, some, some).map(lambda three: "({}) ? ({}) : ({})".format(*three))
    ),
    max_leaves=5,
)
_small = st.none() | st.booleans() | st.sampled_from([1, 1.0, 2, "x", "y", "x && y", [1], {"x": 1}])
_events = st.builds(
    lambda data: {"name": "x", "data": data},
    st.dictionaries(st.sampled_from(["a", "b", "a-b"]), _small),
)


@settings(max_examples=300)
@given(_conditions, _events, _events)
def test_key_and_rest_mean_what_the_whole_condition_means(
    when: str, mine: dict[str, Any], incoming: dict[str, Any]
) -> None:
    whole = compile(when, ROOTS).holds({"event": mine, "async": incoming})
    assert condition_holds(resolve(mine, when=when), mine, incoming) is whole
