"""The app of the pictures: something of each kind that a terminal shows."""

from tidemill import App, Concurrency, Context, Cron, NonRetriableError, Throttle

app = App("shop")


@app.function(on="order/placed", concurrency=Concurrency(2, key="event.data.email"), retries=6)
def checkout(ctx: Context) -> str:
    ctx.step.run("charge the card", lambda: {"payment": f"pay-{ctx.event.data['order_id']}", "currency": "EUR"})
    approved = ctx.step.wait_for_event("approval of the manager", "order/approved", match="data.order_id", timeout="3d")
    return "shipped" if approved else "nobody approved it"


@app.function(on="order/placed", throttle=Throttle(100, "1m"))
def thank_the_customer(ctx: Context) -> str:
    ctx.step.run("write the letter", lambda: f"Dear {ctx.event.data['email']}, thank you for your order.")
    ctx.step.sleep("some days later", "3d")
    return ctx.step.run("send the letter", lambda: "sent")


@app.function(on="invoice/asked")
def invoice(ctx: Context) -> None:
    def draw() -> None:
        raise NonRetriableError(f"the order {ctx.event.data['order_id']} has no address; ask the customer for one")

    ctx.step.run("look the order up", lambda: {"lines": 3, "total": 40})
    ctx.step.run("draw the invoice", draw)


@app.function(on="stock/low", backoff="10m")
def reorder(ctx: Context) -> None:
    def order() -> None:
        raise ConnectionError("the supplier's server does not answer (connect timeout after 10 s)")

    ctx.step.run("order from the supplier", order)


@app.function(on="greeting/asked")
def greet(ctx: Context) -> str:
    name = ctx.step.run("find the name", lambda: ctx.event.data["name"])
    ctx.step.sleep("think", "1s")
    return ctx.step.run("greet", lambda: f"Hello, {name}!")


@app.function(on=Cron("0 6 * * *", timezone="Europe/Paris"))
def nightly_report(ctx: Context) -> str:
    return ctx.step.run("report", lambda: "all is well")
