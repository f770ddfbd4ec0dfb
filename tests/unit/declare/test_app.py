from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

import tidemill
from tidemill import App, AsyncContext, Context, DeclarationError, EventError, Function


@pytest.mark.parametrize("name", ["", "a b", "a.b", "-a", "x" * 129, "é", None])
def test_a_name_that_no_app_can_have(name: Any) -> None:
    with pytest.raises(DeclarationError, match="the name of an app"):
        App(name)


def test_the_decorated_function_stays_itself() -> None:
    app = App("shop")

    @app.function(on="a")
    def process_video(ctx: Context) -> str:
        """What it says."""
        return ctx.run_id

    assert isinstance(process_video, Function)
    assert process_video.__name__ == "process_video"
    assert process_video.__doc__ == "What it says."
    assert process_video.__wrapped__ is process_video.fn  # type: ignore[attr-defined] # set by update_wrapper
    assert process_video.id == "shop.process-video"
    assert not process_video.is_async
    assert repr(process_video) == "<Function shop.process-video>"
    context: Any = type("Fake", (), {"run_id": "r1"})
    assert process_video(context) == "r1"


def test_three_ways_to_write_the_decorator() -> None:
    app = App("shop")

    @app.function
    def one(_: Context) -> None: ...

    @app.function()
    def two(_: Context) -> None: ...

    @app.function(id="three")
    async def other(_: AsyncContext) -> None: ...

    assert app.functions == {"shop.one": one, "shop.two": two, "shop.three": other}
    assert other.is_async
    assert other.spec.name == "other"


def test_on_failure_is_a_function_of_its_own() -> None:
    app = App("shop")

    async def note(_: AsyncContext) -> None: ...

    @app.function(on="a", retries=2, backoff="5s", versions="latest", on_failure=note)
    def pay(_: Context) -> None: ...

    handler = app.functions["shop.pay-failure"]
    assert pay.spec.on_failure == handler.id
    assert pay.on_failure is note
    assert handler.fn is note
    assert handler.is_async
    assert handler.spec.triggers == ()
    assert (handler.spec.retries, handler.spec.backoff, handler.spec.versions) == (2, pay.spec.backoff, "latest")
    assert handler.spec.on_failure is None


def test_one_handler_for_several_functions() -> None:
    app = App("shop")

    def note(_: Context) -> None: ...

    app.function(id="a", on_failure=note)(_anything)
    app.function(id="b", on_failure=note)(_anything)
    assert sorted(app.functions) == ["shop.a", "shop.a-failure", "shop.b", "shop.b-failure"]


def test_two_functions_with_one_id() -> None:
    app = App("shop")

    @app.function
    def pay(_: Context) -> None: ...

    with pytest.raises(DeclarationError) as raised:
        app.function(id="pay")(_anything)
    here = __file__
    assert str(raised.value) == (
        f"function 'shop.pay': is declared twice, at {here}:{pay.fn.__code__.co_firstlineno}"
        f" and at {here}:{_anything.__code__.co_firstlineno}; give one another id="
    )
    app.function(id="pay-late-failure")(_anything)
    with pytest.raises(DeclarationError, match=r"'shop\.pay-late-failure': is declared twice"):
        app.function(id="pay-late", on_failure=_anything)(_anything)
    assert sorted(app.functions) == ["shop.pay", "shop.pay-late-failure"]


def _anything(_: Context) -> None: ...


# --- sending -------------------------------------------------------------------------------------------


def sent(*args: Any, **fields: Any) -> list[dict[str, Any]]:
    app = App("shop")
    outbox: list[dict[str, Any]] = []

    def transport(events: list[dict[str, Any]]) -> list[str]:
        outbox.extend(events)
        return [f"id{n}" for n in range(len(events))]

    app.transport = transport
    send: Any = app.send
    assert send(*args, **fields) == [f"id{n}" for n in range(len(outbox))]
    return outbox


def test_one_event() -> None:
    assert sent("a") == [{"name": "a", "data": {}}]
    assert sent("a", {"x": 1}, id="i", user={"id": "u"}, ts=5, v="2") == [
        {"name": "a", "data": {"x": 1}, "id": "i", "user": {"id": "u"}, "ts": 5, "v": "2"}
    ]
    assert sent(name="a", data={"x": 1}) == [{"name": "a", "data": {"x": 1}}]


def test_several_events() -> None:
    assert sent([{"name": "a"}, {"name": "b", "data": {"x": 1}, "id": None}]) == [
        {"name": "a", "data": {}},
        {"name": "b", "data": {"x": 1}},
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (("",), "event: name must not be empty"),
        (("tidemill/x",), "event: only the platform itself sends names that begin with 'tidemill/'"),
        (("a", 1), "event.data must be an object"),
        (("a", {"x": object()}), "event.data.x: a value of type object cannot be remembered"),
        (("a", {"x": 2**70}), "event.data.x: a whole number in it has more than 64 bits"),
        (("a", {"x": "y" * 800_000}), "event: 800028 bytes of JSON are more than 768 KiB"),
        (([],), "there is no event to send"),
        (([{"name": "a"}, {"data": {}}],), "events[1]: name must be text, not NoneType"),
        (([{"name": "a", "dat": {}}],), "events[0]: an event has no 'dat'; it has name, data, id, user, ts, v"),
        (([{"name": "a", "ts": "now"}],), "events[0]: ts must be milliseconds since the epoch, not 'now'"),
        (([{"name": "a", "data": {"x": ["\uffff"]}}],), "events[0].data.x.0: U+FFFE and U+FFFF"),
        (([{"name": "a", "user": {"id": "\ufffe"}}],), "events[0].user.id: U+FFFE and U+FFFF"),
        (([{"name": "a\uffff"}],), "events[0]: name must not contain U+FFFE"),
        (([{"name": "a", "id": ""}],), "events[0]: id must not be empty"),
        (([{"name": "a", "user": "u"}],), "events[0].user must be an object"),
        ((["a"],), "events[0]: an event is a dict with name and data, not str"),
    ],
)
def test_what_is_no_event(given: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(EventError) as raised:
        sent(*given)
    assert str(raised.value).startswith(problem)


def test_fields_do_not_go_beside_a_list() -> None:
    with pytest.raises(TypeError, match="the fields go into each"):
        sent([{"name": "a"}], id="x")


# --- the package ---------------------------------------------------------------------------------------


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = ["pydantic", "asyncio", "boto3", "cel", "http", "urllib", "sqlite3", "cronsim", "zoneinfo", "logging"]
    code = f"import sys; import tidemill; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_env())
    assert found.stdout.strip() == "[]"


def _env() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": "src"}


def test_every_public_name_is_there() -> None:
    assert all(hasattr(tidemill, name) for name in tidemill.__all__)


def test_the_name_of_the_platform_is_taken() -> None:
    with pytest.raises(DeclarationError, match="the name 'tidemill' is the platform's own"):
        App("tidemill")
