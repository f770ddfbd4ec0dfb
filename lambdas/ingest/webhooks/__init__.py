"""Webhooks that prove who sent them: from a signed request to an event.

The bytes of the body are verified before anything reads them. What the event is, the declaration says in CEL over
`body` and `headers`; what it does not say follows from what the vendors send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl

from tidemill import ids
from tidemill.limits import EVENT_ID_CHARS, JSON_DEPTH
from tidemill.model import WEBHOOK_ROOTS, WebhookSpec
from tidemill.ports import Registry
from tidemill.sdk.name_rules import text_problem
from tidemill_lambdas.http import Refused, Request
from tidemill_lambdas.ingest import refuse
from tidemill_lambdas.ingest.webhooks.signatures import Unproven, verify

_FORM = "application/x-www-form-urlencoded"
_FIELDS = 1_000  # of a form
_WHOLE = "payload"  # a form with this one field has its JSON in it

_Json = dict[str, Any]


@dataclass(frozen=True)
class Delivery:
    """A request of a webhook whose sender is proven."""

    webhook: WebhookSpec
    headers: Mapping[str, str]
    raw: bytes
    body: Any

    @property
    def challenge(self) -> str | None:
        """What Slack wants to hear before it sends anything. Raises Refused if it is no text."""
        fields = _object(self.body)
        if self.webhook.scheme != "slack" or fields.get("type") != "url_verification":
            return None
        challenge = fields.get("challenge")
        if not isinstance(challenge, str) or not challenge:
            raise refuse.none("a url_verification has a challenge, a text that is not empty; send it with one")
        return challenge

    def event(self) -> _Json | None:
        """The event as its own sender would write it. None: it is to be ignored."""
        name = self._name()
        if name is None:
            return None
        event: _Json = {"name": name, "id": self._id(), "data": self._data()}
        user = self._value(self.webhook.user)
        if user is not None:
            event["user"] = user if isinstance(user, dict) else {"id": user}
        return event

    def _name(self) -> Any:
        if self.webhook.event is not None:
            return self._value(self.webhook.event)
        kind = self.headers.get("x-github-event") if self.webhook.scheme == "github" else _object(self.body).get("type")
        return f"{self.webhook.name}/{kind}" if isinstance(kind, str) and kind else None

    def _id(self) -> Any:
        if self.webhook.id is not None and (id := self._value(self.webhook.id)) is not None:
            return str(id) if isinstance(id, int) and not isinstance(id, bool) else id
        return next(self._ids())

    def _ids(self) -> Iterator[str]:
        """What vendors send with each delivery, the same when they send it again; at the end what every body has."""
        body = _object(self.body)
        given = (self.headers.get("webhook-id"), body.get("id"), self.headers.get("x-github-delivery"))
        for one in (*given, body.get("event_id")):
            text = str(one) if isinstance(one, int) and not isinstance(one, bool) else one
            if text_problem(text, "id", EVENT_ID_CHARS) is None:
                yield cast("str", text)
        yield ids.derived("webhook", self.webhook.name, hashlib.sha256(self.raw).hexdigest())

    def _data(self) -> Any:
        data = self.body if self.webhook.data is None else self._value(self.webhook.data)
        if not isinstance(data, dict):
            raise refuse.none(f"the data of a webhook must be a JSON object, not {refuse.kind(data)}; data= names one")
        return cast("_Json", data)

    def _value(self, expression: str | None) -> Any:
        """None where there is none, or a path in it is missing."""
        if expression is None:
            return None
        from tidemill.core.expression import MISSING, compile  # noqa: A004  most webhooks need none

        value = compile(expression, WEBHOOK_ROOTS).value({"body": self.body, "headers": dict(self.headers)})
        return None if value is MISSING else value


def delivery(webhook: WebhookSpec, request: Request, raw: bytes, registry: Registry, now: int) -> Delivery:
    """Raises Refused: 401 where nobody who knows the secret signed this, 400 where the body cannot be read."""
    _proven(webhook, request, raw, registry, now)
    return Delivery(webhook, request.headers, raw, _body(request, raw))


def _proven(webhook: WebhookSpec, request: Request, raw: bytes, registry: Registry, now: int) -> None:
    secrets = registry.webhook_secrets(webhook)
    try:
        verify(webhook, request.headers, raw, secrets, now)
    except Unproven:
        newer = registry.webhook_secrets(webhook, fresh=True)  # it may have been changed just now
        if not newer:
            raise Refused(
                503, f"the secret of the webhook {webhook.name!r} is not set; set it, then send again"
            ) from None
        _again(webhook, request, raw, newer, now)


def _again(webhook: WebhookSpec, request: Request, raw: bytes, secrets: Sequence[str], now: int) -> None:
    try:
        verify(webhook, request.headers, raw, secrets, now)
    except Unproven as error:
        raise Refused(401, str(error)) from None


def _body(request: Request, raw: bytes) -> Any:
    return _form(raw) if request.media_type == _FORM else refuse.value_of(raw, JSON_DEPTH)


def _form(raw: bytes) -> Any:
    """The fields of a form, a list where one is there several times; where JSON is its only field, that."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS)
    except UnicodeDecodeError:
        raise refuse.none("the form is not UTF-8, percent-encoded; encode it so") from None
    except ValueError:
        raise refuse.none(f"the form has more than {_FIELDS} fields; send JSON") from None
    if len(pairs) == 1 and pairs[0][0] == _WHOLE:
        return refuse.value_of(pairs[0][1].encode(), JSON_DEPTH)
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _object(value: Any) -> _Json:
    return cast("_Json", value) if isinstance(value, dict) else {}
