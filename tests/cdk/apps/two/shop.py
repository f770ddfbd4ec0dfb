from tidemill import App, Context

app = App("shop")


@app.function(on="order/placed")
def charge(ctx: Context) -> None: ...


@app.function(on="order/placed")
def thank(ctx: Context) -> None: ...
