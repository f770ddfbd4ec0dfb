"""What Stripe and GitHub send, signed as their documentation says: the path, the headers and the body."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

STRIPE_SECRET = "whsec_example"  # of nothing that is real
GITHUB_SECRET = "It's a Secret to Everybody"

Delivery = tuple[str, dict[str, str], bytes]


def stripe(event_id: str, customer: str, cents: int, at: int) -> Delivery:
    """A paid invoice; `at` in seconds."""
    invoice = {"object": "invoice", "customer": customer, "amount_paid": cents}
    body = _json({"id": event_id, "object": "event", "type": "invoice.paid", "data": {"object": invoice}})
    signature = _mac(STRIPE_SECRET, f"{at}.".encode() + body)
    return "/w/demo/stripe", {"Stripe-Signature": f"t={at},v1={signature}"}, body


def github(delivery: str, branch: str, commit: str, patience: str) -> Delivery:
    """A push; `patience` is how long its build waits for another one."""
    body = _json({"ref": f"refs/heads/{branch}", "after": commit, "patience": patience})
    signature = f"sha256={_mac(GITHUB_SECRET, body)}"
    headers = {"X-GitHub-Event": "push", "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature}
    return "/w/demo/github", headers, body


def _mac(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
