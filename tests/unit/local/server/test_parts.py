"""The small parts of the local world: registry, ready queue, timers' bounds, cron, environment files, frames."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice

import pytest

from tidemill.model import CronTrigger, EventTrigger, FunctionSpec
from tidemill_local.load import envfile
from tidemill_local.server import cron
from tidemill_local.server.ready import ReadyQueue
from tidemill_local.server.registry import LocalRegistry
from tidemill_local.workers import wire


def spec(name: str, *patterns: str) -> FunctionSpec:
    return FunctionSpec(f"a.{name}", "a", name, tuple(EventTrigger(pattern) for pattern in patterns))


@pytest.mark.parametrize(
    ("name", "heard_by"),
    [
        ("user/signed.up", ["a.exact", "a.user", "a.all"]),
        ("user/left", ["a.user", "a.all"]),
        ("order/paid", ["a.all"]),
        ("tidemill/function.failed", ["a.failed", "a.platform"]),
        ("tidemill/function.finished", ["a.platform"]),
    ],
)
def test_who_listens(name: str, heard_by: list[str]) -> None:
    registry = LocalRegistry()
    registry.replace(
        [
            spec("exact", "user/signed.up", "user/*"),
            spec("user", "user/*"),
            spec("all", "*", "t*"),
            spec("failed", "tidemill/function.failed"),
            spec("platform", "tidemill/*"),
        ],
        "1",
    )
    expected = heard_by if name != "user/left" else ["a.exact", *heard_by]
    assert sorted(found.id for found in registry.listeners(name)) == sorted(expected)


def test_a_registry_says_what_is_new() -> None:
    registry = LocalRegistry()
    assert registry.replace([spec("one", "x")], "1") == ["a.one"]
    assert registry.replace([spec("one", "y"), spec("two", "x")], "2") == ["a.two"]
    assert [found.id for found in registry.listeners("x")] == ["a.two"]
    assert registry.version("a.one") == "2"


def test_functions_take_turns() -> None:
    ready = ReadyQueue()
    for run in ("a1", "a2", "a3", "b1", "a1"):
        ready.put(run, run[0])
    assert len(ready) == 4
    assert [ready.pop()[0] for _ in range(4)] == ["a1", "b1", "a2", "a3"]
    assert not ready


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1_000)


def first(trigger: CronTrigger, after: str, count: int = 2) -> list[str]:
    found: Iterator[int] = iter(cron.ticks(trigger, at(after)))
    return [datetime.fromtimestamp(ms / 1_000, UTC).strftime("%m-%d %H:%M") for ms in islice(found, count)]


def test_cron_keeps_the_time_of_its_zone_when_clocks_change() -> None:
    paris = CronTrigger("0 9 * * *", "Europe/Paris")
    assert first(paris, "2026-10-24T00:00:00") == ["10-24 07:00", "10-25 08:00"]
    assert first(CronTrigger("*/20 * * * *"), "2026-10-24T23:50:00") == ["10-25 00:00", "10-25 00:20"]


def test_jitter_is_bounded_and_the_same_for_the_same_tick() -> None:
    trigger = CronTrigger("* * * * *", jitter=30_000)
    spread = {cron.jitter("a.f", trigger, tick) for tick in range(0, 6_000_000, 60_000)}
    assert len(spread) > 90
    assert all(0 <= each <= 30_000 for each in spread)
    assert cron.jitter("a.f", trigger, 60_000) == cron.jitter("a.f", trigger, 60_000)
    assert cron.jitter("a.f", CronTrigger("* * * * *"), 60_000) == 0


def test_an_environment_file() -> None:
    text = """
    # a comment
    PLAIN=one two # and this
    export EXPORTED=yes
    QUOTED="a \\"b\\"\\nc"  # comment
    LITERAL='a\\nb # no comment'
    EMPTY=
    """
    assert envfile.parse(text) == {
        "PLAIN": "one two",
        "EXPORTED": "yes",
        "QUOTED": 'a "b"\nc',
        "LITERAL": "a\\nb # no comment",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("\ufeffA=1\nB=2", {"A": "1", "B": "2"}),
        ('A="a\\\\"\nB=2', {"A": "a\\", "B": "2"}),
        ("A=1\t# a comment behind a tab", {"A": "1"}),
        ('A="x\u2028y"\nB=2', {"A": "x\u2028y", "B": "2"}),
        ('A="one\ntwo"\nB=2', {"A": "one\ntwo", "B": "2"}),
        ("A=1\nB=${A}2", {"A": "1", "B": "12"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    ],
)
def test_an_environment_file_is_read_as_python_dotenv_reads_it(text: str, values: dict[str, str]) -> None:
    assert envfile.parse(text) == values


@pytest.mark.parametrize("line", ["no value", "=x", "A B=1", "1A=x", 'A="open'])
def test_an_environment_file_names_the_line_that_is_wrong(line: str) -> None:
    with pytest.raises(envfile.EnvFileError, match=r"^\.env, line 2: "):
        envfile.parse(f"OK=1\n{line}\n")


def test_frames_come_out_whole_however_the_stream_is_cut() -> None:
    messages = [wire.Journal("r" * size) for size in (0, 1, 300, 70_000)]
    stream = b"".join(bytes(wire.frame(message)) for message in messages)
    for step in (1, 3, 4_096, len(stream)):
        if step == 1:
            stream_part, expected = stream[:400], 3
        else:
            stream_part, expected = stream, 4
        frames = wire.Frames()
        found = [
            frame
            for start in range(0, len(stream_part), step)
            for frame in frames.feed(stream_part[start : start + step])
        ]
        assert found == [bytes(wire.frame(message))[wire.HEADER :] for message in messages[:expected]]
