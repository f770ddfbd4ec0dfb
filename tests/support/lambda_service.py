"""Lambda's Invoke, as a transport of our client, for one function: its process is a real one (runtime_api.py), under
the wrapper that CDK puts around a step's handler."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path

from support.runtime_api import Function, FunctionError, LambdaDied

from tidemill.aws.calls.client import Client, Credentials, Reply, Request
from tidemill.aws.runtimes.context import places
from tidemill.aws.runtimes.lambda_ import LambdaSteps
from tidemill.aws.settings import Settings, step_name
from tidemill.core.definition import Lambda
from tidemill.task import Task

SETTINGS = Settings("prod", "t", "bucket", "b", "https://sqs/1/", "arn:timers", "g", "arn:r")


class LambdaService:
    """`deploy` makes the function of a step; its code lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._function: Function | None = None

    def __enter__(self) -> LambdaService:
        return self

    def __exit__(self, *_: object) -> None:
        if self._function is not None:
            self._function.__exit__()

    def deploy(self, task: Task) -> None:
        """As CDK does: whole seconds, and the handler in the environment."""
        runtime = task.step.runtime
        assert isinstance(runtime, Lambda)
        self.__exit__()
        timeout = max(-(-task.step.timeout // 1_000), 1) if task.step.timeout is not None else 900
        environment = {"TIDEMILL_STEP_HANDLER": runtime.handler}
        self._name = step_name(SETTINGS.deployment, task.function_id, task.step.id)
        self._function = Function(
            "tidemill.aws.runtimes.step_handler.handler", environment, timeout, (str(self._folder),)
        )
        self._function.__enter__()

    def runtime(self, clock: Callable[[], int]) -> LambdaSteps:
        client = Client(
            region="eu-west-1", credentials=lambda: Credentials("A", "S"), environment={}, transport=self._answer
        )
        self._clock = clock
        return LambdaSteps(places(client, SETTINGS, _NoBlobs(), clock))

    def _answer(self, request: Request) -> Reply:
        assert request.service == "lambda"
        assert request.target == f"/2015-03-31/functions/{self._name}/invocations"
        assert self._function is not None
        context = json.loads(base64.b64decode(request.headers["x-amz-client-context"]))
        # The test's clock stands still, the process's does not.
        context["custom"]["tidemill"]["late_at"] += time.time_ns() // 1_000_000 - self._clock()
        failed = {"x-amz-function-error": "Unhandled"}
        try:
            answer = self._function.invoke(json.loads(request.body), json.dumps(context))
        except FunctionError as error:
            return Reply(200, failed, json.dumps(error.body).encode())
        except LambdaDied:
            said = {"errorMessage": f"2026-11-28T10:00:00Z 1 Task timed out after {self._function.timeout:.2f} seconds"}
            return Reply(200, failed, json.dumps(said).encode())
        return Reply(200, {}, json.dumps(answer).encode())


class _NoBlobs:
    def put(self, data: bytes) -> str:
        raise AssertionError("nothing here is so large")

    def get(self, name: str) -> bytes:
        raise AssertionError(name)
