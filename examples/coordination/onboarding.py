"""Somebody starts a trial (A). If they make a project in time, congratulate them (B); if not, offer help (C)."""

from __future__ import annotations

from pydantic import BaseModel

from examples.desk import database, letter, post
from tidemill import App, Context

app = App("onboarding")

TABLES = """
    CREATE TABLE IF NOT EXISTS tickets (run_id TEXT PRIMARY KEY, user_id TEXT, subject TEXT);
    CREATE TABLE IF NOT EXISTS badges (user_id TEXT, badge TEXT, PRIMARY KEY (user_id, badge));
"""


class Trial(BaseModel):
    patience: str = "3d"


started = app.event("trial/started", Trial, v="1")


@app.function(on=started)
def onboard(ctx: Context[Trial]) -> str:
    user = ctx.event.user or {}
    ctx.step.run("A: send the guide", send_guide, user["id"], user["email"])
    # A project that was made while A ran, or while this machine was off, is found all the same.
    project = ctx.step.wait_for_event(
        "first project", "project/created", match="user.id", timeout=ctx.event.data.patience
    )
    if project is not None:
        ctx.step.run("B: give the badge", give_badge, user["id"], "first project")
        return f"made {project.data['title']}"
    ctx.step.run("C: offer help", open_ticket, ctx.run_id, user["id"])
    return "needs help"


def send_guide(user_id: str, email: str) -> str:
    text = "Make a project, give it a title, and you are half way there.\n"
    return post(letter(email, "Your first project", text), f"guide-{user_id}")


def give_badge(user_id: str, badge: str) -> None:
    with database("onboarding", TABLES) as db:
        db.execute("INSERT OR IGNORE INTO badges VALUES (?, ?)", (user_id, badge))


def open_ticket(run_id: str, user_id: str) -> None:
    with database("onboarding", TABLES) as db:
        db.execute(
            "INSERT OR IGNORE INTO tickets VALUES (?, ?, ?)", (run_id, user_id, "made no project: ask how it goes")
        )
