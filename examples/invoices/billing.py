"""Collect an invoice: sleep until it is due, charge, remind day after day where that fails, and send the receipt.

All of a month's waiting is in this one function, from top to bottom. A day lasts as long as the event says (`day`,
default "1d"): that is how a demo runs the same code in seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from examples.desk import folder, letter, post, write
from examples.invoices import bank
from tidemill import App, Context, StepError, duration

app = App("billing")

REMINDERS = 5  # one a day; after the last, the invoice is given up


class Invoice(BaseModel):
    """What the data of `invoice/issued` is; an event that does not fit is refused where it is sent."""

    model_config = ConfigDict(extra="forbid")
    number: str
    account: str
    email: str
    cents: int
    days_to_pay: int
    day: str = "1d"


class Deposit(BaseModel):
    account: str
    cents: int


issued = app.event("invoice/issued", Invoice, v="1")
deposited = app.event("account/deposited", Deposit, v="1")


@app.function(on=issued, retries=3)
def collect(ctx: Context[Invoice]) -> dict[str, Any]:
    invoice = ctx.event.data
    day = duration.parse(invoice.day) / 1000  # seconds
    due = datetime.fromtimestamp(ctx.event.ts / 1000 + invoice.days_to_pay * day, UTC)
    ctx.step.sleep_until("due date", due)

    reminders = 0
    while True:
        try:
            payment = ctx.step.run("charge", bank.charge, invoice.account, invoice.cents, invoice.number)
            break
        except StepError as error:  # declined: the function goes on, as with any exception
            if reminders == REMINDERS:
                ctx.step.run("give up", give_up, invoice, error.message)
                return {"status": "written off", "reminders": reminders}
        reminders += 1
        ctx.step.run("remind", remind, invoice, reminders)
        # Whichever comes first: money on the account, or the next day.
        ctx.step.wait_for_event("money", "account/credited", match="data.account", timeout=day)

    receipt = ctx.step.run("receipt", write_receipt, invoice, payment)
    return {"status": "paid", "reminders": reminders, "receipt": receipt}


@app.function(on=deposited)
def deposit(ctx: Context[Deposit]) -> int:
    paid = ctx.event.data
    balance = ctx.step.run("book", bank.credit, paid.account, paid.cents, ctx.event.id)
    ctx.step.send_event("tell", {"name": "account/credited", "data": {"account": paid.account}})
    return balance


def remind(invoice: Invoice, number: int) -> str:
    text = f"Dear customer,\n\ninvoice {invoice.number} over {euros(invoice.cents)} is due.\n"
    subject = f"Reminder {number}: invoice {invoice.number}"
    return post(letter(invoice.email, subject, text), f"{invoice.number}-reminder-{number}")


def write_receipt(invoice: Invoice, payment: str) -> str:
    lines = [f"Receipt for invoice {invoice.number}", f"Paid: {euros(invoice.cents)}", f"Payment: {payment}"]
    return str(write(folder("receipts") / f"{invoice.number}.txt", "\n".join(lines) + "\n"))


def give_up(invoice: Invoice, why: str) -> str:
    return str(write(folder("written-off") / f"{invoice.number}.txt", f"{invoice.number}: {why}\n"))


def euros(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02} EUR"
