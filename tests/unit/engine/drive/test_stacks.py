"""Stacks show the user's frames: in what a run keeps, and in what `runs show` prints of it."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any

from tidemill import App, Context, NonRetriableError
from tidemill.engine.drive.failures import failure_of
from tidemill.engine.drive.trace.frames import is_library
from tidemill.testing import Mill
from tidemill_local.console.stack import stack_end

HERE = __file__


def failure(call: Callable[[], Any]) -> Any:
    try:
        call()
    except BaseException as error:
        return failure_of(error, 0)
    raise AssertionError


def deep(depth: int) -> None:
    """The user's frame, then many of a library."""
    value: Any = (number for number in range(3))
    for _ in range(depth):
        value = [value]
    copy.deepcopy(value)


def files(stack: str) -> list[str]:
    return [line.split('"')[1] for line in stack.splitlines() if line.startswith('  File "')]


def test_the_platforms_frames_go() -> None:
    app = App("shop")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        ctx.step.sleep("nap", "never")

    with Mill(app) as mill:
        error = mill.send("go").run().error
    assert error is not None
    assert files(error.stack) == [HERE]
    assert 'ctx.step.sleep("nap", "never")' in error.stack


def test_a_short_stack_keeps_the_libraries_frames() -> None:
    found = failure(lambda: json.loads("{"))
    assert files(found.stack)[0] == HERE
    assert any(is_library(file) for file in files(found.stack))


def test_of_a_long_stack_the_libraries_frames_go_first() -> None:
    found = failure(lambda: nested_in_libraries(80))
    assert len(found.stack) <= 8_000
    assert set(files(found.stack)) == {HERE}
    assert "raise ValueError" in found.stack
    assert found.stack.endswith("ValueError: deep\n")


def nested_in_libraries(depth: int) -> None:
    """Frames of the user's own and of a library by turns."""
    if not depth:
        raise ValueError("deep")
    json.dumps(object(), default=lambda _: nested_in_libraries(depth - 1))


def test_the_users_last_frame_stays_under_a_library_that_goes_deep() -> None:
    found = failure(lambda: deep(150))
    assert found.type == "TypeError"
    assert len(found.stack) <= 8_000
    assert "copy.deepcopy(value)" in found.stack


def test_a_long_message_pushes_no_frame_out() -> None:
    def loud() -> None:
        raise ValueError("x" * 100_000)

    found = failure(loud)
    assert "in loud" in found.stack
    assert len(found.stack) < 2_000
    assert len(found.message) == 8_000


def test_a_chain_and_a_group_keep_a_frame_of_the_users_for_each() -> None:
    def inner() -> None:
        json.loads("{")

    def outer() -> None:
        try:
            inner()
        except ValueError as error:
            raise NonRetriableError("no") from error

    found = failure(outer)
    assert "in inner" in found.stack
    assert "in outer" in found.stack

    async def two() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(later())

    async def later() -> None:
        outer()

    found = failure(lambda: asyncio.run(two()))
    assert found.stack.count("in later") == 2


def test_an_error_that_no_traceback_can_show_has_none() -> None:
    class Sour(Exception):
        @property
        def __notes__(self) -> Any:
            raise RuntimeError("no notes")

    def bad() -> None:
        raise Sour("no")

    assert failure(bad).message == "no"


def shown(stack: str, kind: str = "ValueError") -> str:
    return "\n".join(stack_end(kind, stack))


def test_runs_show_ends_a_stack_by_frames_with_the_users_last() -> None:
    lib = '  File "/usr/lib/python3.12/json/decoder.py", line {}, in decode\n    return scan\n           ^^^^\n'
    own = '  File "/home/me/shop.py", line 7, in pay\n    json.loads(x)\n'
    stack = "Traceback (most recent call last):\n" + own + "".join(lib.format(n) for n in range(5)) + "ValueError: m\n"
    text = shown(stack)
    assert "shop.py" in text
    assert text.count("File") == 3
    assert "line 4" in text
    assert "^^^^" not in text
    assert "ValueError" not in text


def test_runs_show_ends_a_stack_of_another_language_by_lines() -> None:
    assert shown("    at pay (shop.js:1)\n    at run (shop.js:2)\n").count("at ") == 2
    assert shown("") == ""


def test_runs_show_what_a_run_keeps() -> None:
    def outer() -> None:
        try:
            json.loads("{")
        except ValueError:
            raise KeyError("gone") from None

    found = failure(outer)
    assert "in outer" in shown(found.stack, "KeyError")
    assert "raise KeyError" in shown(found.stack, "KeyError")
