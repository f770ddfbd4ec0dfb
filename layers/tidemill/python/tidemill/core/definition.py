"""A parsed definition (a function that is a JSON file): its graph, and the program of each step.

`tidemill.definitions` makes one from a file and reports all problems at once; `engine.drive.graph` runs
it; the executor in AWS reads it as JSON. Times are milliseconds, memory is MB.
"""

from __future__ import annotations

import msgspec

from tidemill.core.graph import Node
from tidemill.limits import RETRIES_DEFAULT
from tidemill.model import FunctionSpec


class Docker(msgspec.Struct, frozen=True, omit_defaults=True, tag="docker", tag_field="type"):
    """A container: the image of the step's folder, or a named image. `cpu`: 1,024 are one core."""

    image: str | None = None
    cpu: int = 256
    memory: int = 512


class Lambda(msgspec.Struct, frozen=True, omit_defaults=True, tag="lambda", tag_field="type"):
    """A Lambda: the step's folder with the code of `handler`, or a deployed Lambda by its `arn`."""

    arn: str | None = None
    handler: str = "handler.handler"  # module.function
    memory: int = 128


class Http(msgspec.Struct, frozen=True, omit_defaults=True, tag="http", tag_field="type"):
    """A POST to this URL. `private`: the URL may be inside a private network, in AWS too."""

    url: str
    headers: dict[str, str] = {}
    private: bool = False


class Wasm(msgspec.Struct, frozen=True, omit_defaults=True, tag="wasm", tag_field="type"):
    """A WASI module. `fuel`: the approximate limit of executed instructions."""

    memory: int = 64
    fuel: int = 10_000_000_000


Program = Docker | Lambda | Http | Wasm


class StepSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """`path`: of its folder or module, relative to the definition's folder. `attempts`: the total."""

    node: Node
    runtime: Program
    name: str = ""
    path: str | None = None
    attempts: int = RETRIES_DEFAULT + 1
    timeout: int | None = None

    @property
    def id(self) -> str:
        return self.node.id


class Definition(msgspec.Struct, frozen=True, omit_defaults=True):
    """`folder`: the file's folder, which the paths of its steps are relative to."""

    spec: FunctionSpec
    steps: tuple[StepSpec, ...]
    folder: str = "."
