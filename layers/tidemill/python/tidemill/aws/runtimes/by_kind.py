"""Chooses the runtime of a definition's step in AWS by its kind.

    lambda    a Lambda: awaited for seconds, then its end arrives as a message from it or from Lambda (`lambda_`)
    docker    a Fargate task, whose end ECS reports (`fargate`)
    http      in the executor's process, as everywhere (`tidemill.runtimes.http`)
    wasm      the same; wasmtime has a separate layer, added only if a step needs it

`ends` reads how a remote attempt has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from tidemill.task import Runtime

if TYPE_CHECKING:
    from tidemill.aws.runtimes.context import Places

KINDS = frozenset({"docker", "lambda", "http", "wasm"})


def runtimes(environment: Mapping[str, str], kinds: Set[str] = KINDS) -> Mapping[str, Runtime]:
    """By kind; loads only what these kinds need. Raises KeyError if CDK has not set a variable of a kind."""
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
