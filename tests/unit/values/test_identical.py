"""A remembered value comes back identical, or is refused when it is first remembered."""

from __future__ import annotations

import ipaddress
import pathlib
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, HttpUrl, PostgresDsn

from tidemill.values.encoding import NotSerializable, decode, encode, plain
from tidemill.values.identical import identical

PARIS = ZoneInfo("Europe/Paris")
T = TypeVar("T")


def again(value: Any) -> Any:
    return decode(encode(value, "result"))


class Host(BaseModel):
    home: HttpUrl
    store: PostgresDsn
    folder: pathlib.Path
    address: ipaddress.IPv4Address
    network: ipaddress.IPv6Network
    at: datetime
    weights: dict[int, float] = {}
    extra: str = "x"


HOST = Host(
    home=HttpUrl("https://example.com/a?b=ü"),
    store=PostgresDsn("postgres://u:p@a,b/d"),
    folder=pathlib.Path("/tmp/x"),
    address=ipaddress.IPv4Address("10.0.0.1"),
    network=ipaddress.IPv6Network("fe80::/10"),
    at=datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1),
)


@pytest.mark.parametrize("value", [*dict(HOST).values(), HOST], ids=lambda value: type(value).__name__)
def test_fields_of_pydantics_kinds_come_back_identical(value: Any) -> None:
    if value == {}:
        return
    assert identical(again(value), value)
    assert identical(again([value])[0], value)


def test_which_fields_were_set_comes_back() -> None:
    assert again(HOST).model_fields_set == HOST.model_fields_set
    assert again(HOST).at.tzinfo is PARIS


@pytest.mark.parametrize(
    "moment",
    [
        datetime(2026, 10, 25, 2, 30, tzinfo=PARIS),
        datetime(2026, 10, 25, 2, 30, tzinfo=PARIS, fold=1),
        datetime(2026, 3, 29, 2, 30, tzinfo=PARIS),  # a time that does not exist
        datetime(2026, 3, 29, 2, 30, tzinfo=PARIS, fold=1),
        datetime(2026, 1, 1, fold=1),  # noqa: DTZ001
        datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2)), fold=1),
        time(9, 30, tzinfo=PARIS),
        time(9, 30, tzinfo=UTC),
        time(9, 30, fold=1),
        time(9, 30, tzinfo=PARIS, fold=1),
    ],
    ids=str,
)
def test_a_clock_keeps_its_zone_and_its_fold(moment: datetime | time) -> None:
    assert identical(again(moment), moment)
    assert plain(encode(moment, "result")) == moment.isoformat()


@given(st.datetimes(timezones=st.timezones() | st.none()), st.booleans())
def test_any_datetime_comes_back_identical(moment: datetime, fold: bool) -> None:
    moment = moment.replace(fold=int(fold))
    assert identical(again(moment), moment)


class Rules(tzinfo):
    """A zone with rules that only this class knows."""

    def utcoffset(self, dt: datetime | None) -> timedelta | None:
        return None if dt is None else timedelta(hours=dt.month)

    def dst(self, dt: datetime | None) -> timedelta | None:
        return None

    def tzname(self, dt: datetime | None) -> str | None:
        return None


def test_a_zone_of_another_kind_is_refused() -> None:
    with pytest.raises(NotSerializable, match=r"result\[0\]: its time zone is a Rules; use zoneinfo.ZoneInfo"):
        encode([datetime(2026, 1, 1, tzinfo=Rules())], "result")


class Colour(StrEnum):
    RED = "red"


class Loose(BaseModel):
    """`url` goes the way of Pydantic's own JSON, which `value` does not survive."""

    weights: dict[int, float]
    value: Any


@pytest.mark.parametrize("value", [Colour.RED, Decimal("1.0"), (1, 2), datetime(2026, 1, 1, tzinfo=UTC)], ids=str)
def test_a_model_that_json_changes_is_refused(value: Any) -> None:
    with pytest.raises(NotSerializable, match=r"result.weights: the key 1"):
        encode(Loose(weights={1: 2.0}, value=value), "result")
    assert identical(again(Loose(weights={1: 2.0}, value="red")), Loose(weights={1: 2.0}, value="red"))


class Sub(AnyUrl):
    """A URL of the user's own."""


def test_a_class_of_the_users_own_that_only_its_text_would_bring_back_is_refused() -> None:
    with pytest.raises(NotSerializable, match="a Sub does not come back from its text"):
        encode(Sub("https://example.com"), "result")


class Doubled(msgspec.Struct):
    amount: int

    def __post_init__(self) -> None:
        self.amount *= 2


class Once(msgspec.Struct):
    text: str

    def __post_init__(self) -> None:
        if self.text.startswith("#"):
            raise ValueError("it has its mark already")
        self.text = f"#{self.text}"


def test_what_a_struct_changes_when_it_is_made_is_not_changed_again() -> None:
    assert again(Doubled(2)).amount == 4
    assert again([Doubled(2)])[0].amount == 4


def test_a_struct_that_refuses_its_own_fields_is_refused() -> None:
    with pytest.raises(NotSerializable, match=r"result: the __post_init__ of Once refuses its own fields"):
        encode(Once("a"), "result")


class Box(BaseModel, Generic[T]):
    item: T


class IntBox(Box[int]):
    pass


def test_a_generic_model_is_refused_with_how_to_write_it() -> None:
    def make() -> Any:
        return Box[dict[str, int]](item={})

    with pytest.raises(NotSerializable, match=r"class MyModel\(Box\[dict\[str, int\]\]\): \.\.\."):
        encode(make(), "result")
    assert identical(again(IntBox(item=1)), IntBox(item=1))
