"""What every call shares: paths, methods, parameters, keys, errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tidemill.errors import JournalError, Unavailable
from tidemill_lambdas import ingest, paths
from tidemill_lambdas.keys import AnyKey, KeyRing
from tidemill_lambdas.strict_json import too_deep

if TYPE_CHECKING:
    from conftest import Caller

    from tidemill.model import Event
    from tidemill.ports import World


def test_health(call: Caller) -> None:
    answer = call.get("/health")
    assert (answer.status, answer.json["status"]) == (200, "ok")
    assert answer.headers == {"content-type": "application/json", "cache-control": "no-store"}


def test_a_probe_may_add_parameters(call: Caller) -> None:
    assert call.get("/health?t=1").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v2/runs",
        "/v1/run",
        "/v1/runs/",
        "/v1//runs",
        "/v1/runs/a/b",
        "/e/",
        "/e/k/x",
        "/w/k",
        "/w/k/",
        "/E/k",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_path(call: Caller, method: str, path: str) -> None:
    answer = call(method, path, {"name": "x"})
    assert (answer.status, answer.json["status"]) == (404, 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/e/k", "POST"),
        ("PUT", "/e/k", "POST"),
        ("OPTIONS", "/e/k", "POST"),
        ("GET", "/w/k/a/b", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("POST", "/v1/runs", "GET, HEAD"),
        ("PATCH", "/v1/runs/a", "DELETE, GET, HEAD"),
        ("GET", "/v1/signals", "POST"),
        ("TRACE", "/v1/functions", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take(call: Caller, method: str, path: str, allowed: str) -> None:
    answer = call(method, path)
    assert (answer.status, answer.json["status"], answer.headers["allow"]) == (405, 405, allowed)
    assert allowed in answer.json["error"]


def test_head_is_answered_as_get(call: Caller) -> None:
    head, get = call("HEAD", "/v1/functions"), call.get("/v1/functions")
    assert (head.status, head.headers) == (get.status, get.headers)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ("/v1/runs?limit=0", "limit"),
        ("/v1/runs?limit=1001", "limit"),
        ("/v1/runs?limit=", "limit"),
        ("/v1/runs?limit=ten", "limit"),
        ("/v1/runs?limit=-1", "limit"),
        ("/v1/runs?limit=1.0", "limit"),
        ("/v1/runs?limit=%D9%A1", "limit"),
        ("/v1/runs?limit=1&limit=1", "limit"),
        ("/v1/runs?limits=1", "limits"),
        ("/v1/runs?functions=a", "functions"),
        ("/v1/runs?status=done", "done"),
        ("/v1/runs?status=", "status"),
        ("/v1/runs?status=Completed", "Completed"),
        ("/v1/runs?after=", "after"),
        ("/v1/runs?after=yesterday", "after"),
        ("/v1/runs?after=-1", "after"),
        ("/v1/runs?after=1e12", "after"),
        ("/v1/runs?after=253402300800000", "after"),
        ("/v1/runs?after=99999999999999999999999", "after"),
        ("/v1/runs?after=2026-13-01", "after"),
        ("/v1/runs?cursor=", "cursor"),
        ("/v1/runs?cursor=AAAA", "cursor"),
        ("/v1/runs?cursor=%C3%A9", "cursor"),
        ("/v1/runs?user=%ff", "UTF-8"),
        ("/v1/events?status=completed", "status"),
        ("/v1/events?after=x", "after"),
        ("/v1/events/a?limit=1", "limit"),
        ("/v1/functions?limit=1", "limit"),
        ("/v1/runs?" + "&".join(f"a{n}=" for n in range(101)), "parameters"),
    ],
    ids=range(29),
)
def test_a_bad_parameter_is_named(call: Caller, target: str, named: str) -> None:
    answer = call.get(target)
    assert (answer.status, answer.json["status"]) == (400, 400)
    assert named in answer.json["error"]


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/nothing", "/v1/runs/a", "/v1/replays/a"])
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer no"}, {"authorization": "api"}, {"authorization": "Basic api"}]
)
def test_without_an_api_key_nothing_is_said(call: Caller, path: str, headers: dict[str, str]) -> None:
    call.keys = KeyRing(("send",), ("api",))
    answer = call("GET", path, headers=headers)
    assert (answer.status, answer.json["status"]) == (401, 401)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_an_api_key_opens_and_an_event_key_does_not(call: Caller) -> None:
    call.keys = KeyRing(("send",), ("old", "api"))
    for key in ("old", "api"):
        assert call("GET", "/v1/runs", headers={"authorization": f"bearer {key}"}).status == 200
    assert call("GET", "/v1/runs", headers={"authorization": "Bearer send"}).status == 401
    assert call.get("/health").status == 200
    assert call.get("/openapi.json").status == 200


def test_an_empty_key_opens_nothing() -> None:
    ring = KeyRing(("",), ("",))
    assert not ring.may_send("")
    assert not ring.may_act("")


@pytest.mark.parametrize(
    ("problem", "status"), [(Unavailable("throttled"), 503), (JournalError("the journal of run r lacks record 3"), 500)]
)
def test_a_store_that_fails_is_an_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, problem: Exception, status: int
) -> None:
    def fails(_world: World, _event: Event) -> None:
        raise problem

    monkeypatch.setattr(ingest, "receive_in_parts", fails)
    request: dict[str, Any] = {
        "rawPath": "/e/key",
        "requestContext": {"http": {"method": "POST"}},
        "body": '{"name": "x"}',
    }
    answer = ingest.handle(request, world, AnyKey())
    assert answer["statusCode"] == status
    assert msgspec.json.decode(answer["body"])["status"] == status


@pytest.mark.parametrize(
    ("body", "deep"),
    [
        (b"[" * 100 + b"]" * 100, False),
        (b"[" * 101 + b"]" * 101, True),
        (b"[" + b"[]," * 200 + b"[]]", False),
        (b'["' + b"[" * 500 + b'"]', False),
        (b'["' + b"\\\\" * 50 + b'\\"' + b"[" * 500 + b'"]', False),
        (b'["\\\\",' + b"[" * 100 + b"]" * 101, True),
        (b'["]",' * 101 + b'"["]' * 101, True),
        (b'{"a":[' * 51 + b"]}" * 51, True),
        (b'"' * 1_000 + b"[" * 200, True),
        (b"", False),
    ],
    ids=range(10),
)
def test_depth_is_counted_without_what_stands_in_texts(body: bytes, deep: bool) -> None:
    assert too_deep(body) is deep


@pytest.mark.parametrize(
    ("sent", "handed"),
    [
        ("/a", "/a"),
        ("/a%2Fb", "/a/b"),
        ("/%C3%A9%25", "/é%25"),
        ("/100%25", "/100%25"),
        ("/%ff%41", "/%ff%41"),
        ("/%zz", "/%zz"),
    ],
)
def test_a_path_is_handed_over_as_an_http_api_does(sent: str, handed: str) -> None:
    """What is no text stays as it is: `decoded` refuses it with a sentence."""
    assert paths.handed_over(sent) == handed
