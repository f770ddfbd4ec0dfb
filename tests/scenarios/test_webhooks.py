"""A webhook that proves its sender, from its declaration to the run that it starts."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from pydantic import BaseModel

from tidemill import App, Context, Event
from tidemill.errors import DeclarationError
from tidemill.testing import Mill


class Order(BaseModel):
    number: int


def shop() -> App:
    app = App("shop")
    app.webhook("store", scheme="hmac-sha256", secret="STORE_SECRET", header="X-Sign", name="'order/' + body.type")
    placed: Event[Order] = app.event("order/placed", Order, v="1")

    @app.function(on=placed)
    def ship(ctx: Context[Order]) -> int:
        return ctx.event.data.number

    return app


def call(mill: Mill, body: dict[str, Any], secret: str = "s1") -> Any:
    text = json.dumps(body, separators=(",", ":")).encode()  # as Mill writes it
    return mill.http(
        "POST", "/w/dev/store", body, headers={"X-Sign": hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}
    )


def test_a_signed_request_starts_a_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_SECRET", "s1\ns2")
    with Mill(shop()) as mill:
        body = {"type": "placed", "id": "o1", "number": 7}
        assert call(mill, body).json["ids"] == ["o1"]
        assert call(mill, body, "s2").json["ids"] == ["o1"]
        assert [run.output for run in mill.runs()] == [7]
        assert call(mill, body, "s3").status == 401


def test_what_fits_no_schema_is_kept_as_rejected_and_can_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_SECRET", "s1")
    with Mill(shop()) as mill:
        body = {"type": "placed", "id": "o1", "number": "seven"}
        answer = call(mill, body)
        assert (answer.status, answer.json["ids"]) == (200, ["o1"])
        assert mill.runs() == []
        assert mill.http("GET", "/v1/events").json["data"] == []
        (event,) = mill.http("GET", "/v1/events?rejected=true").json["data"]
        assert event["rejected"]["body"] == body
        assert [error["loc"] for error in event["rejected"]["errors"]] == [["data", "number"]]
        assert mill.http("POST", "/v1/events/o1/resend", {"data": {"number": 7}}).status == 200
        assert [run.output for run in mill.runs()] == [7]


def test_every_problem_of_a_declaration_is_named() -> None:
    app = App("shop")
    with pytest.raises(DeclarationError) as caught:
        app.webhook("a b", scheme="md5", secret="no name", header="X", id="event.x", data=5, odd=1)  # type: ignore
    for part in (
        "the name of a webhook",
        "scheme",
        "secret: must be",
        "odd: is no option",
        "header: goes with",
        "id=: ",
        "data=: ",
    ):
        assert part in str(caught.value), part
    with pytest.raises(DeclarationError) as caught:
        app.webhook("a", scheme="hmac-sha256", secret="S", format="hash")  # type: ignore
    assert all(part in str(caught.value) for part in ("name: must be given", "header: must be", "format: must be"))
    app.webhook("a", scheme="github", secret="S")
    with pytest.raises(DeclarationError, match="declared twice"):
        app.webhook("a", scheme="github", secret="S")
