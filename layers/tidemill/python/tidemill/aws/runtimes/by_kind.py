"""What runs the steps of definitions in AWS, where an executor Lambda calls them.

    lambda    a Lambda: waited for for seconds, then told by its own word, or by Lambda's (`lambda_`)
    docker    a Fargate task, told by ECS when it has stopped (`fargate`)
    http      in the executor's own process, as everywhere (`tidemill.runtimes.http`)
    wasm      the same; wasmtime comes in a layer of its own, only where a step needs it

How work that went on elsewhere has ended is read by `ends`.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from tidemill.task import Runtime

if TYPE_CHECKING:
    from tidemill.aws.runtimes.context import Places

KINDS = frozenset({"docker", "lambda", "http", "wasm"})


def runtimes(environment: Mapping[str, str], kinds: Set[str] = KINDS) -> Mapping[str, Runtime]:
    """By kind; only what these need is loaded. Raises KeyError where CDK has not set what a kind needs."""
    from tidemill.aws import world
    from tidemill.aws.runtimes.context import places

    found: dict[str, Runtime] = {}
    where = places(world.client(), world.settings(), world.world().blobs, world.world().clock.now)
    if "lambda" in kinds:
        from tidemill.aws.runtimes.lambda_ import LambdaSteps

        found["lambda"] = LambdaSteps(where)
    if "docker" in kinds:
        from tidemill.aws.runtimes.fargate import FargateSteps, cluster

        found["docker"] = FargateSteps(where, cluster(environment))
    if "http" in kinds:
        found["http"] = _http(environment, where)
    if "wasm" in kinds:
        from tidemill.runtimes.wasm import WasmRuntime

        found["wasm"] = WasmRuntime(clock=where.now)
    return found


def _http(environment: Mapping[str, str], where: Places) -> Runtime:
    from tidemill.aws.secrets import Secret
    from tidemill.runtimes.http import HttpRuntime

    secret = Secret(where.client, environment["TIDEMILL_SIGNING_KEY"], where.now)
    return HttpRuntime(lambda: secret.values()[0], refuse_private=True, clock=where.now)
