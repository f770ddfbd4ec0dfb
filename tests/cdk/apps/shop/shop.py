import os

from tidemill import App, Concurrency, Context, Cron, Event

app = App("shop")
app.webhook("stripe", scheme="stripe", secret="STRIPE")
CURRENCY = os.environ["CURRENCY"]  # the Lambda's own variables are there when the manifest is read


@app.function(on=Event("order/placed", when="event.data.total > 100 && event.data.plan == 'pro'"), retries=9)
def large(ctx: Context) -> None: ...


@app.function(on=["user/*", Cron("0 9 13 * 5", timezone="Europe/Paris", jitter="5m")], concurrency=Concurrency(3))
def daily(ctx: Context) -> None: ...


@app.function()
def invoked_only(ctx: Context) -> None: ...
