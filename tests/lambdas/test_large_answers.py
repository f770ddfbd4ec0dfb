"""What a Lambda may give back, and be given, has 6 MiB: pages end sooner, values are only named, bodies are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support import http_api

from tidemill.core.journal import Record, StepDone
from tidemill.limits import ANSWER_BYTES, LAMBDA_BYTES, MIB, PAGE_MOST
from tidemill_lambdas import api, ingest
from tidemill_lambdas.http import raw

if TYPE_CHECKING:
    from conftest import Caller

NOW = 1_790_000_000_000
JSON = {"content-type": "application/json"}


def paged(call: Caller, path: str, limit: int = PAGE_MOST) -> list[list[Any]]:
    """The pages of a list."""
    pages: list[list[Any]] = []
    cursor = None
    while True:
        answer = call.get(f"{path}?limit={limit}" + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer.text
        pages.append(answer.data)
        cursor = answer.json["cursor"]
        if cursor is None:
            return pages


def a_run(call: Caller) -> str:
    (event_id,) = call.send({"name": "user/signed.up"})
    (run_id,) = call.runs_of(event_id)
    call.claim(run_id)
    return run_id


def done(name: str, size: int) -> Record:
    return StepDone(name, "run", NOW, NOW, value=b'"' + b"x" * size + b'"')


def test_the_machine_itself_refuses_what_is_too_large() -> None:
    body = '"' * (LAMBDA_BYTES // 2)
    status, _, _ = http_api.answered(lambda _: {"statusCode": 200, "body": body}, http_api.event("GET", "/"))
    assert status == 502
    status, _, _ = http_api.answered(lambda _: {}, http_api.event("POST", "/", body.encode(), JSON))
    assert status == 413


@pytest.mark.parametrize("sign", ['"', "é", "x", "\\", "🚢"])
@pytest.mark.parametrize("size", [MIB, MIB + 9, ANSWER_BYTES])
def test_an_answer_of_any_signs_fits(sign: str, size: int) -> None:
    body = (sign * (size // len(sign.encode()))).encode()
    status, _, content = http_api.answered(lambda _: raw(200, body), http_api.event("GET", "/"))
    assert (status, content) == (200, body)


def test_a_page_of_events_ends_by_bytes(call: Caller) -> None:
    sent = [call.send({"name": "large", "data": {"x": "é" * 350_000}})[0] for _ in range(9)]
    pages = paged(call, "/v1/events")
    assert [event["id"] for page in pages for event in page] == sent[::-1]
    assert [len(page) for page in pages] == [5, 4]


def test_a_page_of_runs_ends_by_bytes(call: Caller) -> None:
    runs = []
    for _ in range(80):
        runs.append(a_run(call))
        call.end(runs[-1], b'"' + b"x" * 60_000 + b'"')
    pages = paged(call, "/v1/runs")
    assert sorted(run["run_id"] for page in pages for run in page) == sorted(runs)
    assert len(pages) == 2
    assert all(isinstance(run["output"], str) for page in pages for run in page)


def test_a_run_with_many_values_names_them_instead(call: Caller) -> None:
    run_id = a_run(call)
    for number in range(80):
        call.append(run_id, done(f"step {number}", 60_000))
    steps = call.get(f"/v1/runs/{run_id}").data["steps"]
    assert [step["output"]["bytes"] for step in steps] == [60_002] * 80
    assert call.get(steps[7]["output"]["$large"].removeprefix("http://127.0.0.1:8288")).data == "x" * 60_000


def test_a_run_of_many_steps_shows_the_first_and_pages_all(call: Caller) -> None:
    run_id = a_run(call)
    for first in range(0, 2_600, 100):
        call.append(run_id, *[done(f"step {first + number}", 900) for number in range(100)])
    run = call.get(f"/v1/runs/{run_id}").data
    assert (len(run["steps"]), len(run["journal"]), run["more"]) == (1_000, 1_000, True)
    steps = [step["name"] for page in paged(call, f"/v1/runs/{run_id}/steps") for step in page]
    assert steps == [f"step {number}" for number in range(2_600)]
    journal = [record["seq"] for page in paged(call, f"/v1/runs/{run_id}/journal", 999) for record in page]
    assert journal == list(range(2_602))


def test_a_cursor_of_one_run_is_none_of_another(call: Caller) -> None:
    one, other = a_run(call), a_run(call)
    for number in range(3):
        call.append(one, done(f"step {number}", 1))
    cursor = call.get(f"/v1/runs/{one}/steps?limit=1").json["cursor"]
    assert call.get(f"/v1/runs/{one}/steps?limit=1&cursor={cursor}").data[0]["name"] == "step 1"
    assert call.get(f"/v1/runs/{other}/steps?limit=1&cursor={cursor}").status == 400


@pytest.mark.parametrize(
    ("body", "status"), [(b'"' * (4 * MIB), 413), (b'"' * (3 * MIB - 64 * 1024), 400), (b"x" * (4 * MIB), 400)]
)
def test_a_body_too_large_as_an_event_is_refused_by_us(call: Caller, body: bytes, status: int) -> None:
    for path in ("/e/key", "/v1/signals"):
        asked = http_api.event("POST", path, body, JSON)
        answer = (api if path.startswith("/v1") else ingest).handle(asked, call.world, call.keys)
        said = msgspec.json.decode(answer["body"])
        assert (answer["statusCode"], said["status"]) == (status, status), said
        if status == 400:
            assert http_api.answered(lambda _: {"statusCode": 200}, asked)[0] == 200
