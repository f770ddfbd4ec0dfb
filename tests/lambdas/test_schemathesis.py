"""Schemathesis makes up requests from the OpenAPI document, good ones and bad ones, and sends them to the handlers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import checks
from schemathesis.config import SchemathesisConfig

from tidemill.core.journal import StepDone
from tidemill_lambdas import api, ingest
from tidemill_lambdas.api.about import document
from tidemill_lambdas.keys import AnyKey
from tidemill_lambdas.paths import handed_over

if TYPE_CHECKING:
    from conftest import Caller

    from tidemill.ports import World

NOW = 1_790_000_000_000
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
    checks.negative_data_rejection,
]


class Wsgi:
    """The handlers as a WSGI application, the way the dev server calls them."""

    def __init__(self) -> None:
        self.world: World | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        assert self.world is not None
        path = handed_over(environ["REQUEST_URI"].partition("?")[0])
        size = int(environ.get("CONTENT_LENGTH") or 0)
        request = {
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": environ.get("QUERY_STRING", ""),
            "headers": {"host": "localhost", "content-type": environ.get("CONTENT_TYPE", "")},
            "requestContext": {"http": {"method": environ["REQUEST_METHOD"], "path": path}},
            "body": base64.b64encode(environ["wsgi.input"].read(size)).decode(),
            "isBase64Encoded": True,
        }
        handler = ingest if path.startswith(("/e/", "/w/")) else api
        answer = handler.handle(request, self.world, AnyKey())
        start_response(f"{answer['statusCode']} -", list(answer["headers"].items()))
        body = answer["body"]
        return [base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()]


app = Wsgi()
description = msgspec.json.decode(document())
del description["security"]  # any key will do here; test_http holds the keys
# A request that is bad because it is large is a 413, which schemathesis does not expect by itself.
rules = {"seed": 1, "checks": {"negative_data_rejection": {"expected-statuses": [400, 404, 405, 413]}}}
schema = schemathesis.openapi.from_dict(description, config=SchemathesisConfig.from_dict(rules))
schema.app = app


@pytest.fixture(autouse=True)
def known(call: Caller) -> dict[str, str]:
    """What there is in the world: half of the requests ask for it."""
    app.world = call.world
    (event_id,) = call.send({"name": "user/signed.up", "data": {"plan": "pro"}, "user": {"id": "u1"}})
    run_id = call.runs_of(event_id)[0]
    call.claim(run_id)
    call.append(run_id, StepDone("a", "run", NOW, NOW, value=b'"' + b"x" * 70_000 + b'"'))
    return {"event_id": event_id, "run_id": run_id, "function_id": "shop.charge", "seq": "2"}


@schema.parametrize()
@settings(max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_no_request_breaks_the_handlers(case: schemathesis.Case, known: dict[str, str]) -> None:
    for name, value in case.path_parameters.items():
        if name in known and len(str(value)) % 2:
            case.path_parameters[name] = known[name]
    case.call_and_validate(checks=CHECKS)
