"""What a worker notes of its steps, and what the server reads."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tidemill.core.journal import Claimed, Ended, Started, StepTried
from tidemill.core.view.steps import steps_view
from tidemill.engine.drive.host import Host
from tidemill.errors import TaskFailed
from tidemill.model import AtWork, Event, Failure, Head
from tidemill_local.workers import board as boards
from tidemill_local.workers.board import NOTES, SIZE, Board


@pytest.fixture
def board() -> Iterator[Board]:
    fd = boards.create()
    worker, server = Board(fd), Board(fd)
    os.close(fd)
    worker_and_server: Any = (worker, server)
    yield worker_and_server
    worker.close()
    server.close()


def test_a_step_is_seen_while_its_code_runs(board: Any) -> None:
    worker, server = board
    seen: list[AtWork] = []

    def body() -> int:
        seen.extend(server.at_work())
        return 7

    noted = Host(worker).noted(lambda notes: notes.begin("r1", "charge", 2, 1_000, 500), body)
    assert noted() == 7
    assert seen == [AtWork("r1", "charge", 2, 1_000, 500)]
    assert list(server.at_work()) == []


def test_an_async_step_is_seen_until_its_last_line(board: Any) -> None:
    worker, server = board
    seen: list[int] = []

    async def body() -> None:
        await asyncio.sleep(0)
        seen.append(len(list(server.at_work())))

    def plain() -> Any:
        return body()

    host = Host(worker)
    asyncio.run(host.noted(lambda notes: notes.begin("r1", "a", 1, 1, None), body)())

    async def main() -> None:
        await host.noted(lambda notes: notes.begin("r1", "a", 1, 1, None), plain)()

    asyncio.run(main())
    assert seen == [1, 1]
    assert list(server.at_work()) == []


def test_what_is_no_exception_is_a_failure_of_the_step_by_its_name(board: Any) -> None:
    class Odd(BaseException):
        pass

    def body() -> None:
        raise Odd("so")

    with pytest.raises(TaskFailed) as caught:
        Host(board[0]).noted(lambda notes: notes.begin("r1", "a", 1, 1, None), body)()
    assert (caught.value.failure.type, caught.value.failure.message) == ("Odd", "so")
    assert list(board[1].at_work()) == []


def test_notes_are_used_again_and_their_number_is_bounded(board: Any) -> None:
    worker, server = board
    numbers = [worker.begin("r1", f"s{n}", 1, n, None) for n in range(NOTES)]
    assert worker.begin("r1", "one more", 1, 1, None) is None
    worker.end(None)
    for number in numbers:
        worker.end(number)
    assert list(server.at_work()) == []
    worker.begin("r1", "again", 1, 1, None)
    assert [step.key for step in server.at_work()] == ["again"]


def test_a_key_that_is_too_long_for_a_note_is_left_out(board: Any) -> None:
    assert board[0].begin("r1", "x" * SIZE, 1, 1, None) is None


def test_workers_read_the_servers_offset(board: Any) -> None:
    worker, server = board
    server.offset = -(2**60)
    assert worker.offset == -(2**60)


HEAD = Head("r1", "a.f", "running", 1, 2)
RECORDS = [Started(1, "a.f", (Event("e1", "n", {}, 1, 1),)), Claimed(2, "w", 9)]


def test_a_step_at_work_is_running() -> None:
    (step,) = steps_view(RECORDS, HEAD, at_work=[AtWork("r1", "charge", 1, 5)])
    assert (step["id"], step["status"], step["attempts"], step["ended_at"]) == ("charge", "running", 1, None)


def test_a_step_that_is_tried_again_is_running() -> None:
    tried = StepTried("charge", "run", 3, 4, 1, Failure("E", "m"), 5)
    (step,) = steps_view([*RECORDS, tried], HEAD, at_work=[AtWork("r1", "charge", 2, 5)])
    assert (step["status"], step["attempts"], step["error"]) == ("running", 2, None)


def test_nothing_is_running_in_a_run_that_has_ended() -> None:
    assert steps_view([*RECORDS, Ended(9, "completed")], HEAD, at_work=[AtWork("r1", "charge", 1, 5)]) == []
