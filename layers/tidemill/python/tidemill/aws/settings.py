"""The names of a deployment's AWS resources, and the settings that its Lambdas read from their environment.

Names are made from the deployment's name and the function's id, so that no part needs a list of the others: adding a
function changes only that function's resources.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

QUEUE_CHARS = 80  # AWS's limit for the name of an SQS queue
DEAD = "-dead"
_DIGITS = 10
_APP_CHARS = 32  # of an app's name in a queue's name: the part before the function is never cut
_SEVERAL = re.compile("__+")
_LAMBDA_CHARS = 64  # AWS's limit for the name of a Lambda


def queue_name(deployment: str, function_id: str) -> str:
    """The name of a function's queue: letters, digits, hyphens and underscores, one function each.

    With `-dead` it has at most 80 characters. The queue of an app's function begins with `app_prefix`.
    """
    app, dot, function = function_id.partition(".")
    name = f"{app_prefix(deployment, app)}{function}" if dot else f"tidemill-{deployment}-{_SEVERAL.sub('_', app)}"
    most = QUEUE_CHARS - len(DEAD)
    if "_" not in function_id and len(name) <= most:
        return name
    return f"{name[: most - _DIGITS - 1]}-{_digest(function_id)}"


def app_prefix(deployment: str, app: str) -> str:
    """The prefix of the names of an app's queues, and of no other queue's: permissions use it.

    It ends in two underscores, which occur nowhere else in these names.
    """
    if len(app) > _APP_CHARS or _SEVERAL.search(app) or app.endswith("_"):
        app = f"{_SEVERAL.sub('_', app)[: _APP_CHARS - _DIGITS - 1].rstrip('_')}-{_digest(app)}"
    return f"tidemill-{deployment}-{app}__"


def dead_letter_name(deployment: str, function_id: str) -> str:
    """The name of a function's dead-letter queue."""
    return queue_name(deployment, function_id) + DEAD


def step_name(deployment: str, function_id: str, step_id: str) -> str:
    """The name of the resource of a definition's step: its Lambda, or its family of task definitions.

    An underscore after the deployment's name distinguishes it from the platform's own Lambdas.
    """
    digest = _digest(f"{function_id}\0{step_id}")
    name = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in f"{function_id}_{step_id}")
    return f"tidemill-{deployment}_{name[: _LAMBDA_CHARS - len(f'tidemill-{deployment}_') - _DIGITS - 1]}-{digest}"


def step_mark(step_id: str) -> str:
    """A short name of a function's step, with only letters and digits."""
    return hashlib.sha256(step_id.encode()).hexdigest()[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def account_of(queues: str) -> str:
    """The account in the URL of a queue, or in the prefix of such a URL; empty if there is none."""
    account = urlsplit(queues).path.strip("/").partition("/")[0]
    return account if account.isdecimal() else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings that every Lambda of a deployment reads from its environment variables."""

    deployment: str  # TIDEMILL_NAME: the deployment's name, such as "prod"
    table: str  # TIDEMILL_TABLE
    bucket: str  # TIDEMILL_BUCKET: where large values are kept
    bus: str  # TIDEMILL_BUS: the name of the event bus
    queues: str  # TIDEMILL_QUEUES: the prefix of each queue's URL, "https://sqs.<region>.amazonaws.com/<account>/"
    timers_arn: str  # TIDEMILL_TIMERS_ARN: the queue that schedules send to
    schedule_group: str  # TIDEMILL_SCHEDULE_GROUP
    schedule_role: str  # TIDEMILL_SCHEDULE_ROLE: the ARN of the role under which a schedule sends

    @property
    def account(self) -> str:
        """The account of the deployment."""
        return account_of(self.queues)

    def queue_url(self, function_id: str) -> str:
        return self.queues + queue_name(self.deployment, function_id)

    def dead_letter_url(self, function_id: str) -> str:
        return self.queues + dead_letter_name(self.deployment, function_id)


def settings(environment: Mapping[str, str]) -> Settings:
    """Raises KeyError if a variable is missing: CDK sets them all."""
    return Settings(
        environment["TIDEMILL_NAME"],
        environment["TIDEMILL_TABLE"],
        environment["TIDEMILL_BUCKET"],
        environment["TIDEMILL_BUS"],
        environment["TIDEMILL_QUEUES"],
        environment["TIDEMILL_TIMERS_ARN"],
        environment["TIDEMILL_SCHEDULE_GROUP"],
        environment["TIDEMILL_SCHEDULE_ROLE"],
    )
