"""The sales team's app: who signed up, what they are worth, and how long they may try."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from examples.desk import database
from tidemill import App, Context, Event

app = App("crm")

SIGNED_UP = "user/signed.up"
FREE_MAIL = Path(__file__).with_name("free_mail.txt")
TABLES = """
    CREATE TABLE IF NOT EXISTS contacts (user_id TEXT PRIMARY KEY, name TEXT, email TEXT, company TEXT);
    CREATE TABLE IF NOT EXISTS scores (user_id TEXT PRIMARY KEY, score INTEGER, reasons TEXT);
    CREATE TABLE IF NOT EXISTS trials (user_id TEXT PRIMARY KEY, plan TEXT, ends_on TEXT);
"""


@app.function(on=SIGNED_UP)
def add_contact(ctx: Context) -> str:
    user = ctx.event.data
    company = ctx.step.run("company", company_of, user["email"])
    ctx.step.run("save", put, "contacts", user["user_id"], user["name"], user["email"], company)
    return company or "a private person"


@app.function(on=SIGNED_UP)
def score_lead(ctx: Context) -> dict[str, Any]:
    user = ctx.event.data
    score, reasons = ctx.step.run("score", score_of, user["email"], user.get("team_size", 1), user["plan"])
    ctx.step.run("save", put, "scores", user["user_id"], score, ", ".join(reasons))
    return {"score": score, "reasons": reasons}


@app.function(on=Event(SIGNED_UP, when="event.data.plan == 'pro'"))
def open_trial(ctx: Context) -> str:
    user = ctx.event.data
    signed_up = datetime.fromtimestamp(ctx.event.ts / 1000, UTC)  # the event's own time: a replay sees the same
    ends_on = (signed_up + timedelta(days=user.get("trial_days", 14))).date().isoformat()
    ctx.step.run("save", put, "trials", user["user_id"], user["plan"], ends_on)
    return ends_on


def company_of(email: str) -> str | None:
    """The company behind an address; None for the large free providers."""
    domain = email.rpartition("@")[2].lower()
    free = set(FREE_MAIL.read_text(encoding="utf-8").split())
    return None if domain in free else domain.partition(".")[0].capitalize()


def score_of(email: str, team_size: int, plan: str) -> tuple[int, list[str]]:
    reasons = [
        (40, "has a company's address", company_of(email) is not None),
        (min(team_size, 40), f"a team of {team_size}", team_size > 1),
        (20, "chose pro", plan == "pro"),
    ]
    return sum(points for points, _, holds in reasons if holds), [why for _, why, holds in reasons if holds]


def put(table: str, *values: object) -> None:
    """A row by its key: saved twice, it is there once."""
    places = ", ".join("?" for _ in values)
    with database("crm", TABLES) as db:
        db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({places})", values)
