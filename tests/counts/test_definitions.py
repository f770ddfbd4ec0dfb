"""What a million runs of ten Lambda steps cost, one after another, by counted calls: steps that are waited for, and
steps that go on elsewhere. The figures are those of docs/aws/definitions-in-aws.md."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from counts.account import Account
from counts.meter import Used

from tidemill.aws.calls.transport import Reply, Request
from tidemill.aws.function.executor import Executor
from tidemill.aws.function.metrics import Metrics
from tidemill.aws.runtimes.context import Places, places
from tidemill.aws.runtimes.ends import Ends
from tidemill.aws.runtimes.lambda_ import LATE, LONGER, LambdaSteps
from tidemill.aws.settings import queue_name
from tidemill.core.definition import Definition, Lambda, StepSpec
from tidemill.core.graph import Edge, Node
from tidemill.definitions import folder as definitions
from tidemill.model import EventTrigger, FunctionSpec
from tidemill_local.cost.data import prices
from tidemill_local.cost.estimate import OWN_MS, TRIP_MS

STEPS, STEP_MS, LATE_MS = 10, 100, 5_000
INVOKE_MS = 10  # what a warm invocation takes besides the step itself: assumed, as TRIP_MS is
MEMORY = 256 / 1_024
DOCS = Path(__file__).parents[2] / "docs" / "aws" / "definitions-in-aws.md"


def graph(id: str, steps: int) -> Definition:
    """Steps one after another, each a Lambda of its own folder."""
    edges = [(), *((Edge(f"s{number}"),) for number in range(steps - 1))]
    nodes = [Node(f"s{number}", edges[number] or (Edge(),)) for number in range(steps)]
    spec = FunctionSpec(id, "definitions", id, (EventTrigger(f"run/{id}"),), retries=0)
    return Definition(spec, tuple(StepSpec(node, Lambda(memory=256), path="step") for node in nodes))


DEFINITIONS = [graph("one", 1), graph("ten", STEPS)]


class Graphs(Account):
    """An account with definitions, whose steps take so long."""

    def __init__(self) -> None:
        super().__init__(definitions.app_of(DEFINITIONS, {"lambda": lambda task: LambdaSteps(self.places)(task)}))
        self.step_ms = STEP_MS
        self.invoked = 0
        self.executor = Executor(
            self.world,
            self.app.functions,
            deployment=self.settings.deployment,
            version="1",
            dead=lambda *told: self.dead.append(told),
            metrics=Metrics("counts", lambda _: None, self.clock.now),
            sleep=self.clock.sleep,
            ends=lambda: Ends(self.places, DEFINITIONS, ""),
        )

    @property
    def places(self) -> Places:
        return places(self.client, self.settings, self.world.blobs, self.clock.now)

    def _answer(self, request: Request) -> Reply:
        if request.service != "lambda":
            return super()._answer(request)
        self.invoked += 1
        waited = round(request.timeout * 1_000)
        self.clock.ms += min(self.step_ms, waited)
        if self.step_ms < waited:
            return Reply(200, {}, b'{"ok": true}')
        self._tells(json.loads(base64.b64decode(request.headers["x-amz-client-context"]))["custom"]["tidemill"])
        raise TimeoutError("timed out")

    def _tells(self, beside: dict[str, Any]) -> None:
        """What the wrapper of a Lambda does whose handler has ended late."""
        about = {name: beside[name] for name in ("run_id", "step_id", "attempt")}
        queue = beside["queue"].rpartition("/")[2]
        self._send(queue, json.dumps({"ended": {**about, "value": {"ok": True}}}), 1)

    def used_by(self, id: str) -> Used:
        """One run, warm, without the event that starts it."""

        def work() -> None:
            self._kind = ""
            number = self.clock.now()
            detail = {
                "id": f"event-{number:020d}", "name": f"run/{id}", "data": {"order_id": "o000001"}, "ts": number,
                "received_at": number,
            }  # fmt: skip
            self._send(queue_name(self.settings.deployment, id), json.dumps({"source": "tidemill", "detail": detail}))
            self.settle()
            self.advance(120_000)
            (head,) = self.heads(detail["id"])
            assert head.status == "completed", head

        self.measured(work)
        self.invoked = 0
        return self.measured(work)


def usd(used: Used, invoked: int, waited_ms: float, step_ms: float, architecture: str) -> float:
    """A million of this, in $: calls and units as counted, the executor's time as its calls and what it waits for."""
    price = {name: one.usd / one.per for name, one in prices().prices.items()}
    gb_s = f"lambda-gb-s-{architecture}"
    units = sum(price[unit] * count for unit, count in used.units.items())
    executor_ms = used.invocations["executor"] * OWN_MS + used.trips["executor"] * TRIP_MS + waited_ms
    requests = price["lambda-requests"] * (used.invocations["executor"] + invoked)
    return 1e6 * (units + requests + price[gb_s] * MEMORY * (executor_ms + invoked * step_ms) / 1_000)


@pytest.fixture(scope="module")
def waited() -> tuple[Used, int]:
    account = Graphs()
    return account.used_by("ten"), account.invoked


@pytest.fixture(scope="module")
def handed() -> tuple[Used, int]:
    account = Graphs()
    account.step_ms = LATE_MS
    return account.used_by("ten"), account.invoked


def cost(counted: tuple[Used, int], architecture: str) -> float:
    used, invoked = counted
    long = used.invocations["executor"] > 1
    wait = LATE + LONGER if long else STEP_MS + INVOKE_MS
    return usd(used, invoked, STEPS * wait, LATE_MS if long else STEP_MS, architecture)


def test_ten_steps_that_are_waited_for_are_one_invocation_and_a_write_each(waited: tuple[Used, int]) -> None:
    used, invoked = waited
    assert (used.invocations["executor"], invoked) == (1, STEPS)
    assert used.units["writes"] == STEPS + 3
    assert used.units["sqs-requests"] == 3


def test_a_step_that_goes_on_elsewhere_is_an_invocation_more(handed: tuple[Used, int]) -> None:
    used, invoked = handed
    assert (used.invocations["executor"], invoked) == (1 + STEPS, STEPS)
    assert used.units["sqs-requests"] == 3 * (1 + STEPS)


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_what_a_million_runs_of_ten_lambda_steps_must_not_exceed(waited: tuple[Used, int], architecture: str) -> None:
    assert cost(waited, architecture) <= 26


def test_the_docs_say_what_was_counted(waited: tuple[Used, int], handed: tuple[Used, int]) -> None:
    text = DOCS.read_text(encoding="utf-8")
    own = {"100 ms": STEPS * STEP_MS, "5 s": STEPS * LATE_MS}
    for label, counted in (("100 ms", waited), ("5 s", handed)):
        for architecture in ("arm64", "x86_64"):
            per_ms = prices().prices[f"lambda-gb-s-{architecture}"]
            code = 1e6 * own[label] * MEMORY / 1_000 * per_ms.usd / per_ms.per
            whole = cost(counted, architecture)
            row = f"| {label} | {architecture} | {whole:,.2f} | {code:,.2f} | {whole - code:,.2f} |"
            assert row in re.sub(r" +", " ", text), row
