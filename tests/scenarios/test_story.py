"""The story of a person: what was sent for the person, what ran, and what it waits for, in every world."""

from __future__ import annotations

from typing import Any

from tidemill import App, Context
from tidemill.testing import Mill


def rows(mill: Mill, user: str, limit: int) -> list[Any]:
    """The whole story, page by page."""
    found: list[Any] = []
    cursor = ""
    while True:
        answer = mill.http("GET", f"/v1/users/{user}/story?limit={limit}{cursor}")
        assert answer.status == 200, answer.json
        found += answer.json["data"]
        if answer.json["cursor"] is None:
            return found
        cursor = f"&cursor={answer.json['cursor']}"


def test_a_story_is_told_newest_first_and_says_what_runs_wait_for(serve):
    app = App("shop")

    @app.function(on="order/placed")
    def pay(ctx: Context) -> None:
        ctx.step.wait_for_event("paid", "order/paid", timeout="1d")

    @app.function(on="order/paid")
    def thank(ctx: Context) -> None:
        ctx.step.sleep("pause", "1h")

    ann, bob = {"id": "ann", "email": "a@b.c"}, {"email": "B@b.c"}
    with serve(app) as mill:
        mill.send("order/placed", {}, user=ann)
        mill.send("order/placed", {}, user=bob)
        mill.send("order/placed", {})
        story = rows(mill, "ann", 50)
        assert [(row["type"], [wait["step"] for wait in row["waiting"]]) for row in story] == [
            ("run", ["paid"]),
            ("event", []),
        ]
        [wait] = story[0]["waiting"]
        assert wait["name"] == "order/paid"
        assert wait["until"] > story[0]["at"]
        mill.send("order/paid", {}, user=ann)
        story = rows(mill, "ann", 50)
        assert [row["type"] for row in story].count("run") == 2
        assert [wait["step"] for row in story for wait in row["waiting"]] == ["pause"]
        assert [row["at"] for row in story] == sorted((row["at"] for row in story), reverse=True)
        assert all((row.get("event") or row["run"])["user"] in (ann, "ann") for row in story)
        for limit in (1, 2, 3):
            assert rows(mill, "ann", limit) == story
