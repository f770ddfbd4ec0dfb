"""Signatures of webhooks: who sent a body, told by a secret that only the sender and we know.

Each scheme signs the bytes of the body as they travelled, most of them together with a time. Signatures are compared
in constant time, and every secret with every signature, so that the time taken tells nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tidemill.limits import MINUTE, SECOND
from tidemill.model import WebhookScheme, WebhookSpec

TOLERANCE = 5 * MINUTE
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)
_STANDARD_PREFIX = "whsec_"

Headers = Mapping[str, str]  # by lower-case name


class Unproven(Exception):
    """A request whose sender is not proven; the sentence says why."""


@dataclass(frozen=True)
class Signed:
    """What a request says of its signature. `given`: signatures, any of which admits; `at`: seconds, as sent."""

    content: bytes
    given: Sequence[bytes]
    at: str | None = None
    key: Callable[[str], bytes] = field(default=str.encode)  # of a secret


def verify(webhook: WebhookSpec, headers: Headers, body: bytes, secrets: Sequence[str], now: int) -> None:
    """Raises Unproven where no secret signs this body, or where the signature is older than TOLERANCE."""
    signed = _SCHEMES[webhook.scheme](webhook, headers, body)
    keys = [signed.key(secret) for secret in secrets]
    macs = [hmac.new(key, signed.content, hashlib.sha256).digest() for key in keys if key]
    found = [hmac.compare_digest(mac, given) for mac in macs for given in signed.given]  # all of them, whichever fits
    if not any(found):
        raise Unproven(
            "the signature does not fit the body; check that sender and receiver have the same secret, and that "
            "nothing between them changes the body"
        )
    if signed.at is not None:
        _check_time(signed.at, now)


def _check_time(at: str, now: int) -> None:
    if abs(now - int(at) * SECOND) > TOLERANCE:
        raise Unproven(
            "the signature is more than five minutes away from the time here; send it again with a new signature"
        )


def _standard(_webhook: WebhookSpec, headers: Headers, body: bytes) -> Signed:
    """https://www.standardwebhooks.com: signatures are `v1,<base64>`, with spaces between them."""
    id, at = _header(headers, "webhook-id"), _seconds(_header(headers, "webhook-timestamp"))
    given = [one.partition(",") for one in _header(headers, "webhook-signature").split()]
    found = [signature for version, _, signature in given if version == "v1"]
    return Signed(f"{id}.{at}.".encode() + body, _decoded(_base64, found), at, standard_key)


def standard_key(secret: str) -> bytes:
    """The bytes of a secret such as `whsec_<base64>`; none if it is not base64."""
    text = secret.removeprefix(_STANDARD_PREFIX)
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _stripe(_webhook: WebhookSpec, headers: Headers, body: bytes) -> Signed:
    """https://docs.stripe.com/webhooks#verify-manually: `t=<seconds>,v1=<hex>,v1=<hex>`."""
    pairs = [part.strip().partition("=") for part in _header(headers, "stripe-signature").split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    if len(times) != 1:
        raise Unproven("the header stripe-signature has not one time t=; send it once, as Stripe writes it")
    at = _seconds(times[0])
    return Signed(f"{at}.".encode() + body, _decoded(_hex, [value for name, _, value in pairs if name == "v1"]), at)


def _github(_webhook: WebhookSpec, headers: Headers, body: bytes) -> Signed:
    """https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
    return Signed(body, _decoded(_hex_of("sha256="), [_header(headers, "x-hub-signature-256")]))


def _slack(_webhook: WebhookSpec, headers: Headers, body: bytes) -> Signed:
    """https://docs.slack.dev/authentication/verifying-requests-from-slack"""
    at = _seconds(_header(headers, "x-slack-request-timestamp"))
    given = _decoded(_hex_of("v0="), [_header(headers, "x-slack-signature")])
    return Signed(f"v0:{at}:".encode() + body, given, at)


def _hmac(webhook: WebhookSpec, headers: Headers, body: bytes) -> Signed:
    decode = {"base64": _base64, "sha256={hex}": _hex_of("sha256=")}.get(webhook.format or "hex", _hex)
    return Signed(body, _decoded(decode, [_header(headers, webhook.header or "")]))


_SCHEMES: dict[WebhookScheme, Callable[[WebhookSpec, Headers, bytes], Signed]] = {
    "standard": _standard,
    "stripe": _stripe,
    "github": _github,
    "slack": _slack,
    "hmac-sha256": _hmac,
}


def _header(headers: Headers, name: str) -> str:
    value = headers.get(name, "").strip()
    if not value:
        raise Unproven(f"this webhook needs the header {name}; its sender has to sign its requests")
    return value


def _seconds(text: str) -> str:
    """The time as it was sent: the signature is over its very text."""
    if not _SECONDS.fullmatch(text):
        raise Unproven("the time of the signature is not in seconds since the epoch; send it once, as a whole number")
    return text


def _decoded(decode: Callable[[str], bytes], texts: Iterable[str]) -> list[bytes]:
    """Those that can be decoded: what is no signature fits no body."""
    found: list[bytes] = []
    for text in texts:
        try:
            found.append(decode(text))
        except (binascii.Error, ValueError):
            continue
    return found


def _base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _hex(text: str) -> bytes:
    return binascii.unhexlify(text)


def _hex_of(prefix: str) -> Callable[[str], bytes]:
    def decode(text: str) -> bytes:
        if not text.startswith(prefix):
            raise ValueError(prefix)
        return binascii.unhexlify(text[len(prefix) :])

    return decode
