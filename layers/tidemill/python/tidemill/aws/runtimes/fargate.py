"""The runtime `docker` in AWS: starts a Fargate task, and does not wait; ECS reports its end.

*Begin.* `RunTask` with the step's own task definition and its input as the only argument; input too large for ECS is
put into the bucket, and the argument is `{"input_url": ...}`, good for an hour. A request made twice begins one task
(`clientToken`). Function, run, attempt and step are in `group` and `startedBy`, which ECS's events carry.

*End.* A rule brings "ECS Task State Change" of this function's group, STOPPED, to the function's queue. The event has
the exit code; standard output is in CloudWatch Logs (`task_log`).

*Timeout.* No executor watches the task, so the task has its own timer: a second container that sleeps for the step's
timeout. The first of the two to end ends the task. Without a timeout it is a day.

*Lost.* If ECS's event is lost, the attempt fails at `until`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from tidemill import ids
from tidemill.aws.calls.client import AwsError
from tidemill.aws.messages.types import Stopped
from tidemill.aws.runtimes.context import Places
from tidemill.aws.settings import queue_name, step_mark, step_name
from tidemill.errors import TaskFailed
from tidemill.limits import DAY, HOUR, MINUTE
from tidemill.runtimes.output import ARGUMENT_BYTES, encoded, failed, status_in, timed_out
from tidemill.task import Handed, Task

STEP, CLOCK = "step", "clock"  # the containers of a task, as CDK names them; a third routes their log
LONGEST = DAY  # if the step has no timeout
_STARTING = 15 * MINUTE  # until an accepted task runs, or ECS gives it up
_OVERRIDES = 8_000  # bytes: ECS takes 8,192 for all overrides, as JSON
_URL = HOUR // 1_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster and network of tasks, as CDK has set them in the executor's environment."""

    arn: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...]
    public: bool  # whether a task gets a public address: in a subnet without a NAT it needs one
    log_group: str


def cluster(environment: Mapping[str, str]) -> Cluster:
    return Cluster(
        environment["TIDEMILL_CLUSTER"],
        tuple(environment["TIDEMILL_SUBNETS"].split(",")),
        tuple(environment["TIDEMILL_SECURITY_GROUPS"].split(",")),
        environment.get("TIDEMILL_PUBLIC_IP") == "true",
        environment["TIDEMILL_TASK_LOGS"],
    )


class FargateSteps:
    """The runtime `docker`."""

    def __init__(self, places: Places, cluster: Cluster) -> None:
        self._places = places
        self._cluster = cluster

    def __call__(self, task: Task) -> Handed:
        try:
            answer = self._places.client.call("ecs", "RunTask", self.request(task))
        except AwsError as error:
            raise failed(error.code, f"step {task.step.id!r}: its task cannot be begun: {error}") from error
        if not answer.get("tasks"):
            raise failed("NotStarted", f"step {task.step.id!r}: ECS has not begun its task: {_reasons(answer)}")
        return Handed(self._places.now() + _STARTING + (task.step.timeout or LONGEST))

    def request(self, task: Task) -> dict[str, Any]:
        deployment = self._places.settings.deployment
        return {
            "cluster": self._cluster.arn,
            "taskDefinition": step_name(deployment, task.function_id, task.step.id),
            "launchType": "FARGATE",
            "count": 1,
            "clientToken": ids.derived(task.function_id, task.run_id, task.step.id, str(task.attempt)),
            "group": queue_name(deployment, task.function_id),
            "startedBy": f"{task.run_id}/{task.attempt}/{step_mark(task.step.id)}",
            "networkConfiguration": {
                "awsvpcConfiguration": {
                    "subnets": list(self._cluster.subnets),
                    "securityGroups": list(self._cluster.security_groups),
                    "assignPublicIp": "ENABLED" if self._cluster.public else "DISABLED",
                }
            },
            "overrides": self._overrides(task),
        }

    def _overrides(self, task: Task) -> dict[str, Any]:
        argument = encoded(task)
        overrides = _with(argument.decode())
        if len(argument) <= ARGUMENT_BYTES and len(msgspec.json.encode(overrides)) <= _OVERRIDES:
            return overrides
        name = self._places.blobs.put(argument)
        path = f"/{self._places.settings.bucket}/blobs/{name}"
        url = self._places.client.presigned("GET", path, _URL)
        return _with(msgspec.json.encode({"input_url": url}).decode())


def failure_in(task: Task, stopped: Stopped) -> Exception | None:
    """The failure of a task before its program ended; None: the program ended, and its output can be read."""
    code = stopped.codes.get(STEP)
    if code == 0:
        return None
    if stopped.codes.get(CLOCK) == 0:
        return timed_out(task, task.step.timeout or LONGEST, "its container")
    if code is None:
        said = f"its task stopped before it ran ({stopped.code or 'no reason given'}): {stopped.reason}"
        return failed("NotStarted", f"step {task.step.id!r}: {said}")
    return None


def exited(task: Task, stopped: Stopped, output: Any, now: int) -> TaskFailed | None:
    """The failure of a non-zero exit; a failing status in the output decides whether to try again."""
    code = stopped.codes.get(STEP)
    if not code:
        return None
    how = f"its container ended with exit code {code}" + (f": {stopped.reason}" if stopped.reason else "")
    failure = status_in(task, output, f"{how}, and ", now)
    return failure or failed("ExitError", f"step {task.step.id!r}: {how}")


def _with(argument: str) -> dict[str, Any]:
    return {"containerOverrides": [{"name": STEP, "command": [argument]}]}


def _reasons(answer: dict[str, Any]) -> str:
    found = [" ".join(filter(None, (one.get("reason"), one.get("detail")))) for one in answer.get("failures", ())]
    return "; ".join(found) or "it gave no reason"
