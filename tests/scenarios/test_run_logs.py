"""What a run's code says through `ctx.logger` is kept with the run: each line once, bounded, with its step."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import pytest
from awslambdaric.bootstrap import FramedTelemetryLogSink, LambdaLoggerHandlerWithFrameType
from awslambdaric.lambda_runtime_log_utils import JsonFormatter

from tidemill import App, AsyncContext, Context
from tidemill.testing import Mill


def lines(mill: Mill, run_id: str, query: str = "") -> list[Any]:
    answer = mill.http("GET", f"/v1/runs/{run_id}/logs{query}")
    assert answer.status == 200, answer.json
    return answer.json["data"]


def every_line(mill: Mill, run_id: str, limit: int) -> list[Any]:
    found: list[Any] = []
    cursor = ""
    while True:
        answer = mill.http("GET", f"/v1/runs/{run_id}/logs?limit={limit}{cursor}").json
        assert len(answer["data"]) <= limit
        found += answer["data"]
        if answer["cursor"] is None:
            return found
        cursor = f"&cursor={answer['cursor']}"


def said(mill: Mill, run_id: str) -> list[tuple[str, str | None, int]]:
    return [(line["message"], line["step"], line["attempt"]) for line in lines(mill, run_id)]


def test_lines_are_kept_once_with_their_step_and_attempt(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        failing = [1]

        def charge() -> None:
            ctx.logger.warning("charging %s", "ann")
            if ctx.attempt == 1:
                raise OSError("down")

        ctx.logger.info("begin")
        ctx.step.run("charge", charge)
        ctx.logger.info("charged")
        ctx.step.sleep("nap", "1h")
        ctx.logger.debug("nobody keeps this")
        ctx.logger.info("awake %s", failing)

    with serve(app) as mill:
        run = mill.send("go").run()
        mill.advance("2h")
        assert run.status == "completed"
        assert said(mill, run.id) == [
            ("begin", None, 1),
            ("charging ann", "charge", 1),
            ("charging ann", "charge", 2),
            ("charged", None, 1),
            ("awake [1]", None, 1),
        ]
        (first, *_) = lines(mill, run.id)
        assert set(first) == {"at", "level", "message", "step", "attempt"}
        assert first["level"] == "info"
        assert first["at"].startswith("2026-01-01T00:00:00.")


def test_a_line_that_is_said_again_after_a_crash_is_kept_once(serve):
    app = App("shop")

    @app.function(on="go")
    async def work(ctx: AsyncContext) -> None:
        ctx.logger.info("begin")
        ctx.logger.info("begin")
        await ctx.step.run("a", lambda: ctx.logger.info("in a"))
        ctx.logger.info("after a")
        await asyncio.gather(ctx.step.run("b", lambda: 1), ctx.step.run("c", lambda: 1))
        ctx.logger.info("after both")

    with serve(app) as mill:
        mill.crash(after="a")
        mill.crash("b")
        run = mill.send("go").run()
        mill.advance("1h")
        assert run.status == "completed"
        kept = [message for message, _, _ in said(mill, run.id)]
        assert kept == ["begin", "begin", "in a", "after a", "after both"]


def test_branches_and_the_parts_of_a_map_are_lines_of_their_run(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.step.parallel(
            lambda: (ctx.logger.info("left"), ctx.step.run("l", lambda: 1), ctx.logger.info("left again")),
            lambda: (ctx.step.run("r", lambda: 1), ctx.logger.info("right")),
        )
        ctx.step.map("all", lambda n: ctx.logger.info("item %s", n), [1, 2, 3])
        ctx.logger.info("end")

    with serve(app) as mill:
        run = mill.send("go").run("shop.work")
        kept = said(mill, run.id)
        assert sorted(kept, key=str) == sorted(
            [
                ("left", None, 1),
                ("left again", None, 1),
                ("right", None, 1),
                ("item 1", "all", 1),
                ("item 2", "all", 1),
                ("item 3", "all", 1),
                ("end", None, 1),
            ],
            key=str,
        )
        assert kept[-1] == ("end", None, 1)


def test_the_latest_lines_are_kept_and_what_is_gone_is_said(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        for n in range(1_010):
            ctx.logger.info("line %d", n)

    with serve(app) as mill:
        run = mill.send("go").run()
        first, *rest = every_line(mill, run.id, 1_000)
        assert first["level"] == "warning"
        assert first["message"].startswith("10 earlier lines are gone: of each run its latest 1,000 lines")
        assert [line["message"] for line in rest] == [f"line {n}" for n in range(10, 1_010)]
        for limit in (1, 7):
            page = mill.http("GET", f"/v1/runs/{run.id}/logs?limit={limit}").json
            assert len(page["data"]) == limit, "the line that says it counts"
            assert page["data"][0]["message"] == first["message"]
        assert every_line(mill, run.id, 7) == [first, *rest]


def test_their_bytes_are_bounded():
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        for n in range(200):
            ctx.logger.info("%d %s", n, "x" * 20_000)

    with Mill(app) as mill:
        run = mill.send("go").run()
        _, *rest = lines(mill, run.id, "?limit=1000")
        assert rest[-1]["message"].startswith("199 xxx")
        assert max(len(line["message"]) for line in rest) == 8_000
        assert sum(len(line["message"]) for line in rest) < 2 * 256 * 1_024 + 64 * 8_000


def test_pages(serve):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        for n in range(5):
            ctx.logger.info("%d", n)

    with serve(app) as mill:
        run = mill.send("go").run()
        found: list[str] = []
        query = "?limit=2"
        for _ in range(3):
            answer = mill.http("GET", f"/v1/runs/{run.id}/logs{query}").json
            found += [line["message"] for line in answer["data"]]
            query = f"?limit=2&cursor={answer['cursor']}"
        assert found == ["0", "1", "2", "3", "4"]
        assert answer["cursor"] is None
        other = mill.send("go").run()
        assert mill.http("GET", f"/v1/runs/{other.id}/logs?cursor=nonsense").status == 400
        assert mill.http("GET", "/v1/runs/none/logs").status == 404


def test_lines_that_do_not_fit_their_arguments_and_errors(serve, caplog):
    caplog.set_level("INFO", logger="tidemill")  # pytest's handler raises for what does not fit
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        ctx.logger.info("%d of %d", 1)
        try:
            raise KeyError("lost")
        except KeyError:
            ctx.logger.exception("it failed")

    with serve(app) as mill:
        run = mill.send("go").run()
        first, second = lines(mill, run.id)
        assert first["message"].startswith("%d of %d (its arguments do not fit")
        assert second["level"] == "error"
        assert "KeyError: 'lost'" in second["message"]


class _Mute:
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.fixture
def lambda_log(tmp_path):
    """The file that Lambda's own handler and formatter write to."""
    file = tmp_path / "log"
    with FramedTelemetryLogSink(os.open(file, os.O_CREAT | os.O_WRONLY)) as sink:
        handler = LambdaLoggerHandlerWithFrameType(sink)
        handler.setFormatter(JsonFormatter())
        logging.getLogger("tidemill").addHandler(handler)
        yield file
        logging.getLogger("tidemill").removeHandler(handler)


def test_no_line_fails_a_run(serve, caplog, lambda_log):
    caplog.set_level("INFO", logger="tidemill")
    app = App("shop")

    def step(ctx: Context) -> None:
        ctx.logger.info("file \udc80.txt")
        ctx.logger.info("file %s", "\udc81.txt")
        ctx.logger.warning(_Mute())
        ctx.logger.info("of %s", _Mute())
        ctx.logger.info("beside", extra={"file": "\udc82"})
        try:
            raise OSError("\udc83")
        except OSError:
            ctx.logger.exception("failed")
        ctx.logger.info("é is kept")

    @app.function(on="go", retries=0)
    def work(ctx: Context) -> None:
        ctx.step.run("a", step, ctx)
        step(ctx)

    with serve(app) as mill:
        run = mill.send("go").run()
        assert run.status == "completed", run.error
        kept = [line["message"] for line in lines(mill, run.id)]
        assert kept[:7] == kept[7:]
        assert kept[:2] == [r"file \udc80.txt", r"file \udc81.txt"]
        assert kept[2].startswith("<_Mute, whose text raises ValueError> (its arguments do not fit")
        assert kept[3].startswith("of %s (its arguments do not fit: no text)")
        assert kept[4] == "beside"
        assert kept[5].endswith(r"OSError: \udc83")
        assert kept[6] == "é is kept"
        written = lambda_log.read_bytes().decode(errors="replace")
        assert r"file \\udc80.txt" in written
        assert "é is kept" in written


@pytest.mark.parametrize("level", ["info", "warning"])
def test_what_the_console_does_not_show_is_kept(serve, level, caplog):
    app = App("shop")

    @app.function(on="go")
    def work(ctx: Context) -> None:
        getattr(ctx.logger, level)("said")

    caplog.set_level("WARNING", logger="tidemill")
    with serve(app) as mill:
        run = mill.send("go").run()
        assert said(mill, run.id) == [("said", None, 1)]
    assert [record.getMessage() for record in caplog.records] == (["said"] if level == "warning" else [])
