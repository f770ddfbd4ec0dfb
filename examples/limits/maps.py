"""The carrier's app: where is that? The map service allows ten calls a second, and answers 429 to the eleventh."""

from __future__ import annotations

import time

from pydantic import BaseModel

from examples.desk import database
from tidemill import App, Context, NonRetriableError, RetryAfterError, Throttle

app = App("carrier")

TABLES = "CREATE TABLE IF NOT EXISTS calls (at REAL);"
PLACES = {
    "Bordeaux": (44.84, -0.58),
    "Brest": (48.39, -4.49),
    "La Rochelle": (46.16, -1.15),
    "Lorient": (47.75, -3.37),
    "Nantes": (47.22, -1.55),
    "Saint-Malo": (48.65, -2.03),
}


# One start every 100 ms, in the order in which the events came; none is lost. A throttle spaces starts. It cannot know
# how long each call is on its way, so now and then the service counts eleven, and the step is tried again.
class Delivery(BaseModel):
    delivery_id: str
    city: str


planned = app.event("delivery/planned", Delivery, v="1")


@app.function(on=planned, throttle=Throttle(10, "1s"))
def locate(ctx: Context[Delivery]) -> list[float]:
    return ctx.step.run("look up", look_up, ctx.event.data.city)


def look_up(city: str) -> list[float]:
    now = time.time()
    with database("maps", TABLES) as db:
        (recent,) = db.execute("SELECT count(*) FROM calls WHERE at > ?", (now - 1,)).fetchone()
        if recent >= 10:
            raise RetryAfterError("1s")
        db.execute("INSERT INTO calls VALUES (?)", (now,))
    if city not in PLACES:
        raise NonRetriableError(f"no place is called {city!r}")
    return list(PLACES[city])
