"""Webhooks that prove who sent them: each scheme against its vendor's own example or library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from standardwebhooks.webhooks import Webhook

from tidemill import App
from tidemill.model import Event
from tidemill.ports import EventQuery

if TYPE_CHECKING:
    from conftest import Answer, Caller

NOW = 1_790_000_000_000
SECONDS = NOW // 1_000
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GITHUB = "It's a Secret to Everybody"  # of GitHub's documentation
SLACK = "8f742231b10e8888abcd99yyyzzz85a5"  # of Slack's documentation

app = App("shop")
app.webhook("std", scheme="standard", secret="STD_SECRET")
app.webhook("stripe", scheme="stripe", secret="STRIPE_SECRET", user="body.data.object.customer")
app.webhook("github", scheme="github", secret="GITHUB_SECRET")
app.webhook("slack", scheme="slack", secret="SLACK_SECRET", name="'slack/' + body.command")
app.webhook("chat", scheme="slack", secret="SLACK_SECRET")
app.webhook("hex", scheme="hmac-sha256", secret="OWN", header="X-Signature", name="'own/hex'")
app.webhook("b64", scheme="hmac-sha256", secret="OWN", header="X-Signature", format="base64", name="'own/b64'")
app.webhook("eq", scheme="hmac-sha256", secret="OWN", header="X-Signature", format="sha256={hex}", name="body.kind")
app.webhook(
    "cel",
    scheme="hmac-sha256",
    secret="OWN",
    header="X-Signature",
    name="headers['x-kind'] + '/' + body.type",
    id="body.order.number",
    data="body.order",
    user="{'id': body.who, 'email': body.mail}",
)
SECRETS = {
    "STD_SECRET": STANDARD,
    "STRIPE_SECRET": "whsec_test",
    "GITHUB_SECRET": GITHUB,
    "SLACK_SECRET": SLACK,
    "OWN": "old\n new \n",
}


@pytest.fixture(autouse=True)
def declared(call: Caller) -> None:
    declare(call, SECRETS)


def declare(call: Caller, secrets: Mapping[str, str]) -> None:
    call.world.registry.replace_webhooks(app.webhooks.values(), secrets)  # type: ignore[attr-defined]


def post(call: Caller, name: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """As API Gateway hands it over: the names of headers in lower case, and the body as base64."""
    lower = {key.lower(): value for key, value in headers.items()}
    kept = base64.b64encode(body).decode()
    return call("POST", f"/w/key/{name}", kept, headers=lower, isBase64Encoded=True)


def event_of(call: Caller, answer: Answer) -> Event:
    assert answer.status == 200, answer.text
    (event_id,) = answer.json["ids"]
    event = call.world.events.get(event_id)
    assert event is not None
    return event


def refused(call: Caller, answer: Answer, status: int, word: str) -> None:
    assert (answer.status, answer.json["status"]) == (status, status)
    assert word in answer.json["error"], answer.json["error"]
    assert call.world.events.page(EventQuery()) == []


def mac(secret: str, text: bytes) -> str:
    return hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()


def standard(body: bytes, at: int = SECONDS, id: str = "msg_1", secret: str = STANDARD) -> dict[str, str]:
    signature = Webhook(secret).sign(id, datetime.fromtimestamp(at, UTC), body.decode())
    return {"Webhook-Id": id, "Webhook-Timestamp": str(at), "Webhook-Signature": signature}


def stripe(body: bytes, at: int = SECONDS) -> dict[str, str]:
    return {"Stripe-Signature": f"t={at},v1={mac('whsec_test', b'%d.' % at + body)},v0=6ffbb59b"}


def github(body: bytes) -> dict[str, str]:
    signature = f"sha256={mac(GITHUB, body)}"
    return {"X-Hub-Signature-256": signature, "X-GitHub-Event": "push", "X-GitHub-Delivery": "72d3162e-cc78"}


def equal(body: bytes) -> dict[str, str]:
    return {"x-signature": f"sha256={mac('old', body)}"}


def slack(body: bytes, at: int = SECONDS) -> dict[str, str]:
    signature = f"v0={mac(SLACK, b'v0:%d:' % at + body)}"
    return {"X-Slack-Signature": signature, "X-Slack-Request-Timestamp": str(at)}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = b'{"type": "invoice.paid", "id": "evt_1", "data": {"object": {"customer": "cus_1"}}}'


def test_what_the_standard_library_signs_is_taken(call: Caller) -> None:
    event = event_of(call, post(call, "std", JSON, standard(JSON)))
    assert (event.id, event.name, event.data) == ("msg_1", "std/invoice.paid", json.loads(JSON))


def test_several_signatures_of_standard_webhooks_any_of_which_fits(call: Caller) -> None:
    headers = standard(JSON)
    other = standard(JSON, secret="whsec_" + base64.b64encode(b"other" * 5).decode())["Webhook-Signature"]
    headers["Webhook-Signature"] = f"v1a,xxxx {other} {headers['Webhook-Signature']}"
    assert event_of(call, post(call, "std", JSON, headers)).id == "msg_1"


def test_stripe(call: Caller) -> None:
    event = event_of(call, post(call, "stripe", JSON, stripe(JSON)))
    assert (event.id, event.name, event.user) == ("evt_1", "stripe/invoice.paid", {"id": "cus_1"})


def test_the_example_of_githubs_documentation(call: Caller) -> None:
    """It is no JSON, so it gets as far as a body can: the signature fits."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    answer = post(call, "github", b"Hello, World!", {"X-Hub-Signature-256": signature, "X-GitHub-Event": "push"})
    refused(call, answer, 400, "not JSON")


def test_github(call: Caller) -> None:
    body = b'{"ref": "refs/heads/main"}'
    event = event_of(call, post(call, "github", body, github(body)))
    assert (event.id, event.name) == ("72d3162e-cc78", "github/push")


def test_a_form_of_github_holds_its_json(call: Caller) -> None:
    body = b"payload=%7B%22ref%22%3A%20%22main%22%7D"
    assert event_of(call, post(call, "github", body, {**github(body), **FORM})).data == {"ref": "main"}


# https://docs.slack.dev/authentication/verifying-requests-from-slack
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SLACK_HEADERS = {
    "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    "X-Slack-Request-Timestamp": "1531420618",
    **FORM,
}


def test_the_example_of_slacks_documentation(call: Caller) -> None:
    call.world.clock.ms = 1_531_420_618_000  # type: ignore[attr-defined]
    event = event_of(call, post(call, "slack", SLACK_BODY, SLACK_HEADERS))
    assert event.name == "slack//webhook-collect"
    assert (event.data["user_name"], event.data["text"]) == ("roadrunner", "")


def test_slacks_challenge_is_answered_and_leaves_nothing(call: Caller) -> None:
    challenge = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    body = json.dumps({"token": "x", "challenge": challenge, "type": "url_verification"}).encode()
    answer = post(call, "chat", body, slack(body))
    assert answer.json == {"challenge": challenge}
    assert call.world.events.page(EventQuery()) == []
    refused(call, post(call, "chat", body, {}), 401, "x-slack-request-timestamp")


@pytest.mark.parametrize(
    "given", [{}, {"challenge": {"a": 1}}, {"challenge": 1}, {"challenge": None}, {"challenge": ""}]
)
def test_a_challenge_that_is_no_text_is_refused(call: Caller, given: dict[str, Any]) -> None:
    body = json.dumps({"type": "url_verification", **given}).encode()
    refused(call, post(call, "chat", body, slack(body)), 400, "has a challenge, a text")


def test_an_event_of_slack_has_its_own_id(call: Caller) -> None:
    body = b'{"type": "event_callback", "event_id": "Ev0PV52K21", "event": {"type": "message"}}'
    event = event_of(call, post(call, "chat", body, slack(body)))
    assert (event.id, event.name) == ("Ev0PV52K21", "chat/event_callback")


@pytest.mark.parametrize("secret", ["old", "new"])
def test_every_line_of_a_secret_admits_in_each_form_of_a_signature(call: Caller, secret: str) -> None:
    digest = mac(secret, b'{"kind": "a"}')
    signatures = {
        "hex": digest,
        "b64": base64.b64encode(bytes.fromhex(digest)).decode(),
        "eq": f"sha256={digest}",
    }
    for name, signature in signatures.items():
        event = event_of(call, post(call, name, b'{"kind": "a"}', {"x-signature": signature}))
        assert event.name == {"hex": "own/hex", "b64": "own/b64", "eq": "a"}[name]


def test_what_the_declaration_says_of_the_event(call: Caller) -> None:
    body = b'{"type": "paid", "who": "u1", "mail": "a@b.c", "order": {"number": 7, "lines": [1]}}'
    event = event_of(call, post(call, "cel", body, {"x-signature": mac("old", body), "x-kind": "order"}))
    assert (event.id, event.name, event.data) == ("7", "order/paid", {"number": 7, "lines": [1]})
    assert event.user == {"id": "u1", "email": "a@b.c"}


def test_a_form_has_lists_where_a_field_comes_twice(call: Caller) -> None:
    body = b"From=%2B15551234567&Media=a&Media=b&Body=hi+there"  # as Twilio has it
    event = event_of(call, post(call, "hex", body, {"x-signature": mac("old", body), **FORM}))
    assert event.data == {"From": "+15551234567", "Media": ["a", "b"], "Body": "hi there"}


def test_a_redelivery_starts_nothing_twice(call: Caller) -> None:
    body = b'{"kind": "user/signed.up"}'
    first = event_of(call, post(call, "eq", body, {"x-signature": f"sha256={mac('old', body)}"}))
    again = event_of(call, post(call, "eq", body, {"x-signature": f"sha256={mac('new', body)}"}))
    assert first == again  # the digest of the body is its id
    assert len(call.runs_of(first.id)) == 1
    later = SECONDS + 200
    call.world.clock.ms = later * 1_000  # type: ignore[attr-defined]
    assert event_of(call, post(call, "std", JSON, standard(JSON))).received_at == later * 1_000
    assert event_of(call, post(call, "std", JSON, standard(JSON, later))).id == "msg_1"


def test_a_name_that_is_null_is_ignored(call: Caller) -> None:
    for name, body, headers in (
        ("eq", b"{}", equal(b"{}")),
        ("eq", b'{"kind": null}', equal(b'{"kind": null}')),
        ("std", b"{}", standard(b"{}")),
    ):
        answer = post(call, name, body, headers)
        assert answer.json == {"ids": [], "status": 200}
    assert call.world.events.page(EventQuery()) == []


@pytest.mark.parametrize("name", ["std", "stripe", "github", "chat", "hex", "b64", "eq"])
def test_a_signature_that_is_missing_is_refused(call: Caller, name: str) -> None:
    refused(call, post(call, name, JSON, {}), 401, "needs the header")


SIGNED = {
    "std": standard(JSON),
    "stripe": stripe(JSON),
    "github": github(JSON),
    "chat": slack(JSON),
    "hex": {"x-signature": mac("old", JSON)},
    "b64": {"x-signature": base64.b64encode(bytes.fromhex(mac("old", JSON))).decode()},
    "eq": {"x-signature": f"sha256={mac('old', JSON)}"},
}


@pytest.mark.parametrize("name", SIGNED)
def test_a_signature_over_other_bytes_is_refused(call: Caller, name: str) -> None:
    refused(call, post(call, name, JSON.replace(b" ", b""), SIGNED[name]), 401, "does not fit the body")
    refused(call, post(call, name, JSON + b"\n", SIGNED[name]), 401, "does not fit the body")


@pytest.mark.parametrize("name", SIGNED)
def test_two_headers_of_a_signature_are_refused(call: Caller, name: str) -> None:
    """API Gateway, and the dev server, join them with a comma."""
    doubled = {key: f"{value},{value}" for key, value in SIGNED[name].items()}
    assert post(call, name, JSON, SIGNED[name]).status == 200
    answer = post(call, name, JSON, doubled)
    assert answer.status == 401, answer.text


@pytest.mark.parametrize(("name", "sign"), [("std", standard), ("stripe", stripe), ("chat", slack)])
@pytest.mark.parametrize("off", [-301, 301])
def test_a_signature_from_another_time_is_refused(call: Caller, name: str, sign: Any, off: int) -> None:
    refused(call, post(call, name, JSON, sign(JSON, SECONDS + off)), 401, "five minutes")
    near = SECONDS + off - off // abs(off)
    assert post(call, name, JSON, sign(JSON, near)).status == 200


@pytest.mark.parametrize("at", ["", "soon", "-5", "1e9", "\u0661", "9" * 13])
def test_a_time_that_is_none_is_refused(call: Caller, at: str) -> None:
    refused(
        call,
        post(call, "std", JSON, {**standard(JSON), "Webhook-Timestamp": at}),
        401,
        "webhook-timestamp" if not at else "in seconds",
    )
    refused(call, post(call, "stripe", JSON, {"Stripe-Signature": f"t={at},v1=00"}), 401, "in seconds")


@pytest.mark.parametrize("signature", ["v1=00", "t=1", "t=1,t=2,v1=00", "=", "t=1,v1=zz,v1=\xff"])
def test_a_header_of_stripe_that_says_nothing_is_refused(call: Caller, signature: str) -> None:
    answer = post(call, "stripe", JSON, {"Stripe-Signature": signature})
    assert answer.status == 401
    assert call.world.events.page(EventQuery()) == []


def test_a_wrong_event_key_goes_first(call: Caller) -> None:
    from tidemill_lambdas.keys import KeyRing

    call.keys = KeyRing(("other",), ())
    refused(call, post(call, "std", JSON, standard(JSON)), 401, "event key")


@pytest.mark.parametrize("path", ["std/more", "std%2Fmore", "std/"])
def test_below_a_declared_webhook_there_is_nothing(call: Caller, path: str) -> None:
    refused(call, post(call, path, JSON, standard(JSON)), 404, "nothing below")


def test_a_name_without_a_declaration_works_as_before(call: Caller) -> None:
    event = event_of(call, post(call, "other/thing", b'{"a": 1}', {}))
    assert (event.name, event.data) == ("other/thing", {"a": 1})


@pytest.mark.parametrize("secrets", [{}, {"STD_SECRET": " \n "}])
def test_a_secret_that_is_not_set_is_said(call: Caller, secrets: dict[str, str]) -> None:
    declare(call, secrets)
    refused(call, post(call, "std", JSON, standard(JSON)), 503, "is not set")


def test_a_signature_with_an_empty_key_admits_nobody(call: Caller) -> None:
    declare(call, {"STD_SECRET": "whsec_"})
    signed = base64.b64encode(hmac.new(b"", b"msg_1.%d." % SECONDS + JSON, hashlib.sha256).digest()).decode()
    refused(call, post(call, "std", JSON, {**standard(JSON), "Webhook-Signature": f"v1,{signed}"}), 401, "fit the body")


@pytest.mark.parametrize(
    ("body", "headers", "word"),
    [
        (b"", {}, "empty"),
        (b"{", {}, "not JSON"),
        (b"[1]", {}, "must be a JSON object, not an array"),
        (b"%ff=1", FORM, "UTF-8"),
        (b"&".join(b"a=1" for _ in range(1_001)), FORM, "1000 fields"),
        (b"payload=nothing", FORM, "not JSON"),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(
    call: Caller, body: bytes, headers: dict[str, str], word: str
) -> None:
    refused(call, post(call, "hex", body, {"x-signature": mac("old", body), **headers}), 400, word)


def test_the_names_of_the_platform_are_nobodys(call: Caller) -> None:
    body = b'{"kind": "tidemill/function.finished"}'
    refused(call, post(call, "eq", body, {"x-signature": f"sha256={mac('old', body)}"}), 400, "the platform's own")
