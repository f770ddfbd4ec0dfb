"""The secrets of webhooks: whether a variable holds what its scheme needs."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.model import WebhookSpec


def problem(webhook: WebhookSpec, value: str) -> str | None:
    """Why the webhook cannot be served with this value."""
    where = f"webhook {webhook.name!r}: the variable {webhook.secret}"
    secrets = [line.strip() for line in value.splitlines() if line.strip()]
    if not secrets:
        return f"{where} is not set; put the secret of its sender into the environment, or into the file of --env-file"
    if webhook.scheme == "standard" and not all(map(_is_standard, secrets)):
        return f"{where} holds no secret of Standard Webhooks; that is base64, mostly with whsec_ before it"
    return None


def _is_standard(secret: str) -> bool:
    text = secret.removeprefix("whsec_")
    try:
        return bool(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
    except (binascii.Error, ValueError):
        return False
