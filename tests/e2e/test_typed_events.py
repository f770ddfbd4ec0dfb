"""Typed events at a real dev server: what does not fit is refused, or kept as rejected and told."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import TYPE_CHECKING

from e2e.devserver import eventually

if TYPE_CHECKING:
    from e2e.devserver import DevServer

SHOP = """
from pydantic import BaseModel
from tidemill import App, Context

app = App("shop")
app.webhook("store", scheme="hmac-sha256", secret="STORE_SECRET", header="x-signature", name="'order/placed'")

class Placed(BaseModel):
    order_id: str
    total: float = 0

@app.function(on=app.event("order/placed", Placed, v="1"))
def ship(ctx: Context[Placed]) -> float:
    return ctx.event.data.total
"""


def test_what_does_not_fit_is_refused_or_rejected_and_told(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.write(".env", "STORE_SECRET=s\n")
    dev.start("shop.py")

    status, answer = dev.ask("POST", "/e/dev", [{"name": "order/placed", "data": {"order_id": 3, "total": "9"}}])
    assert status == 400
    assert sorted((error["index"], error["loc"]) for error in answer["errors"]) == [
        (0, ["data", "order_id"]),
        (0, ["data", "total"]),
    ]
    assert dev.ask("GET", "/v1/events?name=order/placed")[1]["data"] == []

    body = json.dumps({"total": 9}).encode()
    signed = {"x-signature": hmac.new(b"s", body, hashlib.sha256).hexdigest(), "webhook-id": "w1"}
    assert dev.ask("POST", "/w/dev/store", body, signed) == (200, {"ids": ["w1"], "status": 200})
    assert dev.ask("GET", "/v1/events")[1]["data"] == []
    (kept,) = dev.ask("GET", "/v1/events?rejected=true")[1]["data"]
    assert kept["id"] == "w1"
    told = eventually(lambda: [line for line in dev.output().splitlines() if "! rejected order/placed (w1)" in line])
    assert "the event order/placed does not fit its schema: data" in told[0]

    assert dev.ask("POST", "/v1/events/w1/resend", {"data": {"order_id": "o1", "total": 9}})[0] == 200
    eventually(lambda: dev.completed(1))
    (run,) = dev.ask("GET", "/v1/events/w1/runs")[1]["data"]
    assert run["output"] == 9
