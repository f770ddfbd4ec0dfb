"""`app.webhook(...)`: checked, and as the platform keeps it."""

from __future__ import annotations

import re
from typing import Any, TypedDict

from tidemill.declare.problems import Problems
from tidemill.errors import DeclarationError
from tidemill.model import WEBHOOK_ROOTS, SignatureFormat, WebhookScheme, WebhookSpec
from tidemill.sdk.name_rules import id_problem

SCHEMES: tuple[WebhookScheme, ...] = ("standard", "stripe", "github", "slack", "hmac-sha256")
FORMATS: tuple[SignatureFormat, ...] = ("hex", "base64", "sha256={hex}")
_ANY_HEADER: WebhookScheme = "hmac-sha256"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)


class WebhookOptions(TypedDict, total=False):
    """`name`, `id`, `data` and `user` are CEL over `body` and `headers`."""

    name: str
    id: str
    data: str
    user: str
    header: str
    format: SignatureFormat


def webhook(path: str, scheme: WebhookScheme, secret: str, options: WebhookOptions) -> WebhookSpec:
    """Raises DeclarationError with everything that is wrong."""
    problems = Problems()
    problems.note("name", id_problem(path, "the name of a webhook"))
    problems.choice("scheme", scheme, SCHEMES)
    if not _VARIABLE.fullmatch(str(secret)):
        problems.add("secret", f"must be the name of a variable, such as 'STRIPE_SECRET', not {secret!r}")
    for option in options:
        if option not in WebhookOptions.__annotations__:
            problems.add(option, f"is no option of a webhook; it has {', '.join(WebhookOptions.__annotations__)}")
    _signature(scheme, options, problems)
    expressions = {field: _expression(field, options, problems) for field in ("name", "id", "data", "user")}
    if problems.found:
        raise DeclarationError(f"webhook {path!r}", problems.found)
    header = options.get("header")
    return WebhookSpec(
        path,
        scheme,
        secret,
        expressions["name"],
        expressions["id"],
        expressions["data"],
        expressions["user"],
        header.lower() if header is not None else None,
        options.get("format"),
    )


def _signature(scheme: WebhookScheme, options: WebhookOptions, problems: Problems) -> None:
    """The other schemes say themselves where the signature stands, and in which form."""
    if scheme == _ANY_HEADER:
        if "name" not in options:
            problems.add("name", f"must be given with the scheme {scheme}: CEL, such as \"'order/' + body.type\"")
        if not isinstance(options.get("header"), str) or not _HEADER.fullmatch(options.get("header", "")):
            problems.add("header", f"must be the header that holds the signature, not {options.get('header')!r}")
        problems.choice("format", options.get("format", FORMATS[0]), FORMATS)
        return
    for option in ("header", "format"):
        if option in options:
            problems.add(option, f"goes with the scheme {_ANY_HEADER} only; {scheme!r} has its own")


def _expression(field: str, options: Any, problems: Problems) -> str | None:
    given = options.get(field)
    return problems.expression(f"{field}=", given, WEBHOOK_ROOTS) if given is not None else None
