"""An app of many functions, which all listen for one event."""

from __future__ import annotations

from tidemill import App, Context

COUNT = 12
app = App("many")


def _declare(number: int) -> None:
    @app.function(id=f"f{number}", on="many/wanted")
    def work(ctx: Context) -> int:
        return ctx.step.run("add", lambda: number + int(ctx.event.data["n"]))


for each in range(COUNT):
    _declare(each)
