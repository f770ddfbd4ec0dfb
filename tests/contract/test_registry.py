"""The contract of Registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tidemill.aws.dynamo.registry import DynamoRegistry, register, unregister
from tidemill.model import FINISHED, SIGNAL, Backoff, CancelSpec, CronTrigger, EventTrigger, FunctionSpec, TimeoutSpec
from tidemill.ports import Registry
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.testing import moto

Declare = Callable[[list[FunctionSpec]], Registry]


def _local() -> Iterator[Declare]:
    def declare(specs: list[FunctionSpec]) -> Registry:
        registry = LocalRegistry()
        registry.replace(specs, "7")
        return registry

    yield declare


def _moto() -> Iterator[Declare]:
    table = moto.fresh_table("registry")
    before: list[FunctionSpec] = []

    def declare(specs: list[FunctionSpec]) -> Registry:
        ids = {spec.id for spec in specs}
        for spec in specs:
            register(table, spec, f"stack/{spec.id}", 5, "7")
        for gone in [spec for spec in before if spec.id not in ids]:
            unregister(table, gone.id, f"stack/{gone.id}")
        before[:] = specs
        return DynamoRegistry(table)

    yield declare


@pytest.fixture(params=[_local, _moto], ids=["local", "moto"])
def declare(request: pytest.FixtureRequest) -> Iterator[Declare]:
    yield from request.param()


def spec(id: str, *names: str, when: str | None = None) -> FunctionSpec:
    return FunctionSpec(id, id.partition(".")[0], id, tuple(EventTrigger(name, when) for name in names))


def ids(specs: list[FunctionSpec]) -> list[str]:
    return sorted(spec.id for spec in specs)


def test_a_declaration_comes_back_whole(declare: Declare) -> None:
    declared = FunctionSpec(
        "shop.pay", "shop", "pay",
        (EventTrigger("a/*", "event.data.n > 1"), CronTrigger("0 9 * * *", "Europe/Paris", 5)),
        retries=9, backoff=Backoff(1, 3.5, 9), cancel_on=(CancelSpec("stop", match="data.id", timeout=9),),
        timeouts=TimeoutSpec(1, 2), on_failure="shop.pay-failure", flow={"concurrency": [{"limit": 1, "key": "ü"}]},
        versions="latest",
    )  # fmt: skip
    registry = declare([declared])
    assert registry.function("shop.pay") == declared
    assert registry.functions() == [declared]
    assert registry.version("shop.pay") == "7"


def test_nothing_is_declared(declare: Declare) -> None:
    registry = declare([])
    assert registry.function("shop.pay") is None
    assert registry.functions() == []
    assert registry.listeners("order/placed") == []


def test_who_listens(declare: Declare) -> None:
    registry = declare(
        [
            spec("shop.one", "order/placed"), spec("shop.two", "order/placed", "order/*", when="false"),
            spec("shop.all", "*"), spec("shop.ends", FINISHED), spec("shop.platform", "tidemill/function.*"),
            spec("shop.none"), spec("shop.odd", "order#%*"), spec("shop.order", "order*"),
        ]
    )  # fmt: skip
    assert ids(registry.listeners("order/placed")) == ["shop.all", "shop.one", "shop.order", "shop.two"]
    assert ids(registry.listeners("order/")) == ["shop.all", "shop.order", "shop.two"]
    assert ids(registry.listeners("order#%23")) == ["shop.all", "shop.odd", "shop.order"]
    assert ids(registry.listeners(FINISHED)) == ["shop.ends", "shop.platform"]
    assert registry.listeners(SIGNAL) == []
    assert ids(registry.listeners("other")) == ["shop.all"]


def test_a_new_declaration_takes_the_place_of_the_old(declare: Declare) -> None:
    declare([spec("shop.a", "x", "y/*", "z"), spec("shop.b", "x")])
    registry = declare([spec("shop.a", "x", "w/*"), spec("shop.c", "z")])
    assert ids(registry.functions()) == ["shop.a", "shop.c"]
    assert ids(registry.listeners("x")) == ["shop.a"]
    assert ids(registry.listeners("z")) == ["shop.c"]
    assert ids(registry.listeners("y/1")) == []
    assert ids(registry.listeners("w/1")) == ["shop.a"]
