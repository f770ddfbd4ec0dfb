"""One receiver, one pump, one channel that fails takes nobody along."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from tidemill_local.server.tick import Tick
from tidemill_local.workers.channel import Channel
from tidemill_local.workers.wire import frame


class Store:
    def commit(self) -> None: ...

    def rollback(self) -> None: ...


class Receiver:
    def __init__(self, fails: bool = False) -> None:
        self.flushed = self.aborted = False
        self._fails = fails

    def flush(self) -> None:
        if self._fails:
            raise OSError(107, "Transport endpoint is not connected")
        self.flushed = True

    def refuse(self, reason: str) -> None:
        raise AssertionError(reason)

    def abort(self) -> None:
        self.aborted = True


def test_a_receiver_that_fails_is_reported_and_the_others_are_answered() -> None:
    told: list[str] = []
    tick = Tick(Store(), before=lambda: None, failed=lambda _: None, trouble=told.append)
    bad, good = Receiver(fails=True), Receiver()
    tick.hold(bad)
    tick.hold(good)
    tick.end()
    assert good.flushed
    assert bad.aborted
    assert told == ["an answer could not be given: OSError: [Errno 107] Transport endpoint is not connected"]


def test_a_pump_that_fails_is_reported_and_the_answers_leave() -> None:
    def out_of_descriptors() -> None:
        raise OSError(24, "Too many open files")

    told: list[str] = []
    tick = Tick(Store(), before=out_of_descriptors, failed=lambda _: None, trouble=told.append)
    receiver = Receiver()
    tick.hold(receiver)
    tick.end()
    assert receiver.flushed
    assert told == ["runs could not be given out: OSError: [Errno 24] Too many open files"]


def test_a_message_that_cannot_be_taken_closes_its_channel() -> None:
    async def main() -> tuple[list[str], list[dict[str, Any]], bool]:
        loop = asyncio.get_running_loop()
        told: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: told.append(context))
        (there, write), (read, here) = os.pipe(), os.pipe()
        gone: list[str] = []

        def received(message: bytes) -> None:
            raise ValueError(f"{len(message)} bytes of nonsense")

        channel = Channel(loop, (there, here), received, lambda: gone.append("gone"))
        os.write(write, frame("nonsense"))
        channel.read()
        os.close(write)
        os.close(read)
        return gone, told, channel.open

    gone, told, still_open = asyncio.run(main())
    assert (gone, still_open) == (["gone"], False)
    assert str(told[0]["exception"]).endswith("bytes of nonsense")
