"""A typed event and a signed webhook: what fits starts a run, what does not is refused or kept as rejected."""

from __future__ import annotations

import hashlib
import hmac
import json

from support.emulator import eventually


def delivered(deployment, number: str, body: bytes, secret: str | None = None):
    secrets = deployment.emulator.client("secretsmanager")
    secret = secret or secrets.get_secret_value(SecretId="tidemill/e2e/store")["SecretString"]
    headers = {"x-signature": hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(), "webhook-id": number}
    headers["content-type"] = "application/json"
    return deployment.emulator.ask("POST", f"/w/{deployment.event_key}/store", body, headers)


def test_a_typed_event_and_a_signed_webhook(deployment):
    event = deployment.send("story/sold", {"article": "tea", "pieces": 2})
    assert deployment.output(event, "stories.sold") == "2 tea"
    assert deployment.get(f"/v1/events/{event}")["v"] == "1"

    wrong = {"name": "story/sold", "data": {"article": "tea", "pieces": "two"}}
    status, answer = deployment.emulator.ask("POST", f"/e/{deployment.event_key}", wrong)
    assert (status, [error["loc"] for error in answer["errors"]]) == (400, [["data", "pieces"]])

    body = json.dumps({"article": "rice", "pieces": 3}).encode()
    assert delivered(deployment, "sold-3", body, "another secret")[0] == 401
    for _ in range(2):
        assert delivered(deployment, "sold-3", body) == (200, {"ids": ["sold-3"], "status": 200})
    assert deployment.output("sold-3", "stories.sold") == "3 rice"
    assert len(deployment.runs("sold-3")) == 1

    assert delivered(deployment, "sold-4", b'{"article": "rice"}')[0] == 200
    kept = eventually(lambda: deployment.get("/v1/events?rejected=true&name=story/sold"))
    assert [one["id"] for one in kept] == ["sold-4"]
    assert deployment.runs("sold-4") == []
