"""The mail team's app: a welcome letter, and the newsletter.

The relay greylists, as many do: it refuses a new letter twice with "451, try again later". Nothing here deals with
that. The step fails, rests, is tried again, and the other four functions never notice.
"""

from __future__ import annotations

from email.message import EmailMessage
from pathlib import Path
from string import Template

from examples.desk import database, folder, letter, post
from tidemill import App, Context, NonRetriableError

app = App("mail")

WELCOME = Path(__file__).with_name("welcome.txt")
REFUSALS = 2  # how often the relay turns a new letter away
TABLES = "CREATE TABLE IF NOT EXISTS subscribers (email TEXT PRIMARY KEY, name TEXT, since INTEGER)"


class TryAgainLater(Exception):
    """What the relay answers a sender that it has not seen before."""


@app.function(on="user/signed.up")
def welcome(ctx: Context) -> str:
    user = ctx.event.data
    text = ctx.step.run("render", render, user["name"], user["plan"])
    return ctx.step.run("deliver", deliver, user["email"], "Welcome aboard", text, f"welcome-{user['user_id']}")


@app.function(on="user/signed.up")
def subscribe(ctx: Context) -> int:
    user = ctx.event.data
    return ctx.step.run("add", add_subscriber, user["email"], user["name"], ctx.event.ts)


def render(name: str, plan: str) -> str:
    return Template(WELCOME.read_text(encoding="utf-8")).substitute(name=name, plan=plan)


def deliver(to: str, subject: str, text: str, name: str) -> str:
    if "@" not in to:
        raise NonRetriableError(f"{to!r} is no address: trying again would not make it one")
    return relay(letter(to, subject, text), name)


def relay(message: EmailMessage, name: str) -> str:
    """A mail server with a greylist in a file: it knows a letter by its name, and takes it at the third knock."""
    knocks = folder("greylist") / name
    with knocks.open("ab") as file:
        file.write(b".")
    if knocks.stat().st_size <= REFUSALS:
        raise TryAgainLater(f"451 4.7.1 greylisted, try again later ({message['To']})")
    return post(message, name)


def add_subscriber(email: str, name: str, since: int) -> int:
    """How many subscribers there are now. Who is on the list already stays there once."""
    with database("mail", TABLES) as db:
        db.execute("INSERT OR IGNORE INTO subscribers VALUES (?, ?, ?)", (email, name, since))
        count: int = db.execute("SELECT count(*) FROM subscribers").fetchone()[0]
    return count
