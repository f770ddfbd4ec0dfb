"""Webhooks with a signature, at a real dev server: the secret is what the environment file says, and follows it."""

from __future__ import annotations

import hashlib
import hmac
import json
from http.client import HTTPConnection
from typing import TYPE_CHECKING

from e2e.devserver import eventually, free_port

if TYPE_CHECKING:
    from e2e.devserver import DevServer

HOOK = """
from tidemill import App, Context
app = App("hook")
app.webhook("github", scheme="github", secret="GITHUB_SECRET")

@app.function(on="github/push")
def built(ctx: Context):
    return ctx.event.data["ref"]
"""
BODY = b'{"ref":"refs/heads/\xc3\xa9t\xc3\xa9"}'


def deliver(dev: DevServer, secret: str, delivery: str, *, twice: bool = False) -> tuple[int, object]:
    connection = HTTPConnection("127.0.0.1", dev.port, timeout=10)
    try:
        return _delivered(connection, secret, delivery, twice)
    finally:
        connection.close()


def _delivered(connection: HTTPConnection, secret: str, delivery: str, twice: bool) -> tuple[int, object]:
    connection.putrequest("POST", "/w/dev/github")
    signature = "sha256=" + hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
    for _ in range(2 if twice else 1):
        connection.putheader("X-Hub-Signature-256", signature)
    connection.putheader("X-GitHub-Event", "push")
    connection.putheader("X-GitHub-Delivery", delivery)
    connection.putheader("Content-Length", str(len(BODY)))
    connection.endheaders(BODY)
    with connection.getresponse() as answer:
        return answer.status, json.loads(answer.read())


def test_a_signed_delivery_starts_its_run_and_the_secret_follows_the_environment_file(dev: DevServer) -> None:
    dev.write("hook.py", HOOK)
    dev.write(".env", "GITHUB_SECRET=first\n")
    dev.start("hook.py")
    assert deliver(dev, "first", "d1") == (200, {"ids": ["d1"], "status": 200})
    assert deliver(dev, "first", "d1") == (200, {"ids": ["d1"], "status": 200})
    assert deliver(dev, "first", "d2", twice=True)[0] == 401
    assert deliver(dev, "second", "d3")[0] == 401
    eventually(lambda: dev.completed(1))
    dev.write(".env", "GITHUB_SECRET='first\nsecond'\n")
    eventually(lambda: deliver(dev, "second", "d4")[0] == 200)
    assert deliver(dev, "first", "d5")[0] == 200
    eventually(lambda: dev.completed(3))


def test_a_secret_that_is_not_set_is_told_when_the_code_is_loaded(dev: DevServer) -> None:
    dev.write("hook.py", HOOK)
    dev.port = free_port()
    dev.launch("hook.py")
    eventually(lambda: "webhook 'github': the variable GITHUB_SECRET is not set" in dev.output())
    assert dev.ask("GET", "/health")[0] == 503
    assert deliver(dev, "first", "d1")[0] == 503
    dev.write(".env", "GITHUB_SECRET=first\n")
    eventually(lambda: deliver(dev, "first", "d1")[0] == 200)
