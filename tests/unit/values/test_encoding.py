from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, ConfigDict, Field, PrivateAttr, RootModel, SecretStr, field_validator

from tidemill.values.encoding import NotSerializable, decode, encode, plain


class Colour(Enum):
    RED = "red"
    BLUE = ("b", 1)


class Level(IntEnum):
    LOW = 1


class Plan(StrEnum):
    PRO = "pro"


class Rights(Flag):
    READ = 1
    WRITE = 2


@dataclass
class Address:
    city: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    id: UUID
    total: Decimal
    address: Address
    notes: list[Any] = field(default_factory=list)


runs_of_post_init: list[str] = []


@dataclass
class Loud:
    name: str

    def __post_init__(self) -> None:
        runs_of_post_init.append(self.name)
        self.name = self.name.upper()


class Point(msgspec.Struct, frozen=True):
    x: int
    at: datetime


class Line(BaseModel):
    sku: str
    price: Decimal


class Cart(BaseModel):
    model_config = ConfigDict(extra="allow")
    owner: str = Field(alias="Owner")
    lines: list[Line] = []
    seen: set[int] = set()
    at: datetime | None = None
    _secret: int = PrivateAttr(default=0)


class Doubling(BaseModel):
    amount: int

    @field_validator("amount")
    @classmethod
    def twice(cls, amount: int) -> int:
        return amount * 2


class Site(BaseModel):
    url: AnyUrl
    weights: dict[int, float] = {}


class Login(BaseModel):
    password: SecretStr


class Names(RootModel[list[str]]):
    pass


def again(value: Any) -> Any:
    data = encode(value, "result")
    json.loads(data, parse_constant=pytest.fail)  # the journal is strict JSON
    return decode(data)


SCALARS: list[Any] = [
    *(None, True, False, 0, -1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**400, 1.0, -0.0, 1e300, 0.1),
    *("", "é😀", "$", '{"$": ["decimal", "1"]}', b"", b"\x00\xff"),
    *(math.inf, -math.inf, Decimal("1.50"), Decimal("-Infinity"), UUID(int=7)),
    *(datetime(2026, 1, 2, 3, 4, 5, 678901), datetime(2026, 1, 2, tzinfo=UTC)),  # noqa: DTZ001 - naive ones too
    datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    *(date(2026, 1, 2), time(3, 4, 5, 6), time(3, tzinfo=UTC), timedelta(days=-1, microseconds=1)),
    *(Colour.RED, Colour.BLUE, Level.LOW, Plan.PRO, Rights.READ, Rights.READ | Rights.WRITE),
]


@pytest.mark.parametrize("value", SCALARS)
def test_a_scalar_comes_back_as_itself(value: Any) -> None:
    for shape in (value, [value], {"a": {"b": [value]}}):
        restored = again(shape)
        assert restored == shape
    assert type(again(value)) is type(value)


def test_an_integer_longer_than_python_writes_comes_back() -> None:
    assert again([10**5_000]) == [10**5_000]
    assert plain(encode(10**5_000, "result")) == hex(10**5_000)


def test_signs_and_nan_survive() -> None:
    assert math.isnan(again(math.nan))
    assert math.copysign(1, again(-0.0)) == -1
    assert type(again(1.0)) is float


def test_a_time_keeps_its_zone() -> None:
    paris = ZoneInfo("Europe/Paris")
    for fold in (0, 1):  # the hour that happens twice
        moment = datetime(2026, 10, 25, 2, 30, tzinfo=paris, fold=fold)
        restored = again(moment)
        assert restored.tzinfo is paris
        assert (restored.isoformat(), restored.fold) == (moment.isoformat(), fold)


_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC))
    | st.timedeltas()
)
_keys = st.text() | st.sampled_from(["$", "a"])
_values = st.recursive(_leaves, lambda some: st.lists(some) | st.dictionaries(_keys, some), max_leaves=20)


@given(_values)
def test_any_nesting_comes_back(value: Any) -> None:
    assert again(value) == value


@given(_values)
def test_the_api_view_is_plain_json(value: Any) -> None:
    view = plain(encode(value, "result"))
    assert json.loads(json.dumps(view, allow_nan=False)) == view


def test_users_own_tags_are_theirs() -> None:
    values: list[Any] = [{"$": ["decimal", "1"]}, {"$": {"$": []}}, {"$": 1, "b": Decimal(1)}, [{"$": None}]]
    for value in values:
        assert again(value) == value
    assert plain(encode({"$": ["decimal", "1"], "x": 1.5}, "result")) == {"$": ["decimal", "1"], "x": 1.5}


def test_tuples_come_back_as_lists() -> None:
    assert again((1, (2, [3]))) == [1, [2, [3]]]


def test_subclasses_of_json_types_come_back_as_what_json_carries() -> None:
    class Name(str):
        __slots__ = ()

    class Bag(dict[str, Any]):
        pass

    restored = again(Bag(a=Name("b")))
    assert restored == {"a": "b"}
    assert type(restored) is dict
    assert type(restored["a"]) is str


def test_dataclasses_and_structs_come_back() -> None:
    order = Order(UUID(int=1), Decimal("9.90"), Address("Paris", ("a", "b")), [1, b"x", Address("Rome")])
    assert again({"orders": [order]}) == {"orders": [order]}
    assert again(order).address.tags == ("a", "b")
    point = Point(1, datetime(2026, 1, 1, tzinfo=UTC))
    assert again([point]) == [point]


def test_restoring_runs_no_post_init_and_no_validator() -> None:
    loud = Loud("a")
    runs_of_post_init.clear()
    assert again(loud) == loud
    assert runs_of_post_init == []
    assert again(Doubling(amount=1)).amount == 2


def test_models_come_back_equal() -> None:
    cart = Cart(Owner="u1", lines=[Line(sku="a", price=Decimal("1.10"))], seen={1, 2}, colour="red")  # type: ignore[call-arg]  # an extra
    cart._secret = 7
    restored = again({"cart": cart})["cart"]
    assert restored == cart
    assert isinstance(restored.lines[0], Line)
    assert restored.model_fields_set == cart.model_fields_set
    assert restored.model_dump() == cart.model_dump()
    assert restored._secret == 7
    assert again(Names(["a"])) == Names(["a"])


def test_a_model_of_types_that_only_pydantic_knows_comes_back() -> None:
    site = Site(url=AnyUrl("https://example.com/a"), weights={1: 0.5})
    restored = again([site])[0]
    assert restored == site
    assert isinstance(restored.url, AnyUrl)


def test_a_model_that_hides_its_value_is_refused() -> None:
    with pytest.raises(NotSerializable, match=r"result\.password: a value of type SecretStr"):
        encode(Login(password=SecretStr("x")), "result")


def test_a_class_that_gained_and_lost_fields_still_comes_back() -> None:
    old = b'{"$": ["dataclass", "%s:Address", {"city": "Paris", "street": "gone"}]}' % __name__.encode()
    assert decode(old) == Address("Paris")
    rest = b'{"set": ["owner"], "extra": {}, "private": {"_secret": 0}}'
    cart = decode(b'{"$": ["model", "%s:Cart", {"owner": "u1"}, %s]}' % (__name__.encode(), rest))
    assert cart == Cart(Owner="u1")


@pytest.mark.parametrize("path", ["no.such.module:Order", f"{__name__}:Gone", f"{__name__}:again"])
def test_a_class_that_is_gone_is_named(path: str) -> None:
    data = json.dumps({"$": ["dataclass", path, {}]}).encode()
    with pytest.raises(ValueError, match="no longer there") as failed:
        decode(data)
    assert path.replace(":", ".") in str(failed.value)
    assert plain(data) == {}  # the API needs no class to show a value


def test_the_api_view() -> None:
    order = Order(UUID(int=1), Decimal("9.90"), Address("Paris", ("a",)), [Colour.RED, math.nan, b"ab"])
    assert plain(encode(order, "result")) == {
        "id": "00000000-0000-0000-0000-000000000001",
        "total": "9.90",
        "address": {"city": "Paris", "tags": ["a"]},
        "notes": ["red", "NaN", "YWI="],
    }
    cart = Cart(Owner="u1", seen={1}, at=datetime(2026, 1, 1, tzinfo=UTC), colour="red")  # type: ignore[call-arg]  # an extra
    shown = {"owner": "u1", "lines": [], "seen": [1], "at": "2026-01-01T00:00:00+00:00", "colour": "red"}
    assert plain(encode(cart, "result")) == shown
    assert plain(encode([timedelta(hours=1), date(2026, 1, 2)], "result")) == ["PT3600S", "2026-01-02"]
    assert plain(encode([2**64 - 1, 2**64, -(2**63) - 1], "result")) == [2**64 - 1, str(2**64), str(-(2**63) - 1)]
    assert plain(encode(Site(url=AnyUrl("https://a.b/")), "result")) == {"url": "https://a.b/", "weights": {}}


class Socket:
    pass


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


def _deep_dataclass() -> Any:
    value: Any = Address("x")
    for _ in range(5_000):
        value = Order(UUID(int=1), Decimal(1), value)
    return value


@pytest.mark.parametrize(
    ("value", "place", "says"),
    [
        (Socket(), "result", "a value of type Socket cannot be remembered; return JSON values, Pydantic models"),
        ({"items": [1, 2, 3, {"owner": Socket()}]}, "result.items[3].owner", "Socket"),
        ({"a-b": {"c": {1, 2}}}, "result['a-b'].c", "a set cannot be remembered"),
        ({"a": {1: 2}}, "result.a", "the key 1 is of type int"),
        ({"a": {Plan.PRO: 2}}, "result.a", "of type Plan"),
        ({None: 2}, "result", "of type NoneType"),
        (["a", "\ud800"], "result[1]", "surrogate"),
        ({"\udfff": 1}, "result", "surrogate"),
        ({"a": Address(Socket())}, "result.a.city", "Socket"),  # type: ignore[arg-type]  # as untyped code does
        (_circle(), "result", "contains itself"),
        (_deep_dataclass(), "result", "levels deep"),
        (lambda: 1, "result", "function"),
        (Socket, "result", "type"),
        (Address, "result", "type"),
        (1j, "result", "complex"),
        (bytearray(b"x"), "result", "bytearray"),
        (range(3), "result", "range"),
    ],
)
def test_what_cannot_be_remembered_names_its_place(value: Any, place: str, says: str) -> None:
    with pytest.raises(NotSerializable, match=re.escape(says)) as refused:
        encode(value, "result")
    assert refused.value.place.startswith(place)
    assert str(refused.value).startswith(refused.value.place + ": ")
    assert len(str(refused.value)) < 2_000


def test_a_local_class_is_refused_with_what_to_do() -> None:
    @dataclass
    class Local:
        a: int

    class LocalModel(BaseModel):
        a: int

    class Made(Enum):
        A = 1

    values: list[Any] = [Local(1), LocalModel(a=1), Made.A]
    for value in values:
        with pytest.raises(NotSerializable, match=r"result\[0\]: the class .* at the top level of a module"):
            encode([value], "result")


def test_deep_but_honest_values_come_back() -> None:
    value: Any = 1
    for level in range(100):
        value = {"a": value} if level % 2 else [value]
    assert again(value) == value


def test_remembering_imports_no_pydantic() -> None:
    code = """
import sys
from tidemill.values.encoding import decode, encode
decode(encode({"a": b"", "b": (1,)}, "result"))
print("pydantic" in sys.modules)
"""
    environment = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "False"
