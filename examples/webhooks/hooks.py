"""Stripe tells of paid invoices, GitHub of pushes; whoever cannot sign like them is sent away.

Stripe delivers a webhook until it gets a 200, so it may come twice; its id is the event's, and the books have each
invoice once. Of several pushes to a branch only the last is built.
"""

from __future__ import annotations

from typing import Any

from examples.desk import database, folder, write
from tidemill import App, Context, Singleton

app = App("hooks")
app.webhook("stripe", scheme="stripe", secret="STRIPE_SECRET", user="body.data.object.customer")
app.webhook("github", scheme="github", secret="GITHUB_SECRET")

TABLES = "CREATE TABLE IF NOT EXISTS paid (event TEXT PRIMARY KEY, customer TEXT, cents INTEGER)"


@app.function(on="stripe/invoice.paid")
def book(ctx: Context) -> dict[str, Any]:
    invoice = ctx.event.data["data"]["object"]
    return ctx.step.run("enter", enter, ctx.event.id, invoice["customer"], invoice["amount_paid"])


def enter(event_id: str, customer: str, cents: int) -> dict[str, Any]:
    with database("books", TABLES) as books:
        books.execute("INSERT OR IGNORE INTO paid VALUES (?, ?, ?)", (event_id, customer, cents))
    return {"customer": customer, "cents": cents}


@app.function(on="github/push", singleton=Singleton("cancel", key="event.data.ref"))
def build(ctx: Context) -> str:
    ctx.step.sleep("let others push", ctx.event.data.get("patience", "5s"))
    return ctx.step.run("build", artifact, ctx.event.data["ref"], ctx.event.data["after"])


def artifact(ref: str, commit: str) -> str:
    return write(folder("builds") / f"{ref.rpartition('/')[2]}.txt", f"{commit}\n").name
