"""The secrets of webhooks: whether a variable holds what its scheme needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.model import lines_of

if TYPE_CHECKING:
    from tidemill.model import WebhookSpec


def problem(webhook: WebhookSpec, value: str) -> str | None:
    """Why the webhook cannot be served with this value."""
    where = f"webhook {webhook.name!r}: the variable {webhook.secret}"
    secrets = lines_of(value)
    if not secrets:
        return f"{where} is not set; put the secret of its sender into the environment, or into the file of --env-file"
    if webhook.scheme == "standard":
        from tidemill_lambdas.ingest.webhooks.signatures import standard_key  # imported late: most apps need none

        if not all(map(standard_key, secrets)):
            return f"{where} holds no secret of Standard Webhooks; that is base64, mostly with whsec_ before it"
    return None
