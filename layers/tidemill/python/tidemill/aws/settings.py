"""How the parts of a deployed mill find each other: what each is called, and what a Lambda is told by its environment.

Names are made from the mill's name and the function's id, so that no part needs a list of the others: adding a function
changes nothing but that function's own resources.
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
_APP_CHARS = 32  # of an app's name in that of a queue: what comes before the function is never cut
_SEVERAL = re.compile("__+")
_LAMBDA_CHARS = 64  # AWS's limit for the name of a Lambda


def queue_name(mill: str, function_id: str) -> str:
    """The name of a function's queue: letters, digits, hyphens and underscores, one function each.

    With `-dead` it has at most 80 characters. The queue of an app's function begins with `app_prefix`.
    """
    app, dot, function = function_id.partition(".")
    name = f"{app_prefix(mill, app)}{function}" if dot else f"tidemill-{mill}-{_SEVERAL.sub('_', app)}"
    most = QUEUE_CHARS - len(DEAD)
    if "_" not in function_id and len(name) <= most:
        return name
    return f"{name[: most - _DIGITS - 1]}-{_digest(function_id)}"


def app_prefix(mill: str, app: str) -> str:
    """What the names of an app's queues begin with, and no other queue's does: permissions are given by it.

    Two underscores end it, which stand nowhere else in these names.
    """
    if len(app) > _APP_CHARS or _SEVERAL.search(app) or app.endswith("_"):
        app = f"{_SEVERAL.sub('_', app)[: _APP_CHARS - _DIGITS - 1].rstrip('_')}-{_digest(app)}"
    return f"tidemill-{mill}-{app}__"


def dead_letter_name(mill: str, function_id: str) -> str:
    """The name of a function's dead-letter queue."""
    return queue_name(mill, function_id) + DEAD


def step_name(mill: str, function_id: str, step_id: str) -> str:
    """What is made for a step of a definition is called: its Lambda, or its family of task definitions.

    An underscore after the mill's name: so it is no Lambda of the platform's own.
    """
    digest = _digest(f"{function_id}\0{step_id}")
    name = "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in f"{function_id}_{step_id}")
    return f"tidemill-{mill}_{name[: _LAMBDA_CHARS - len(f'tidemill-{mill}_') - _DIGITS - 1]}-{digest}"


def step_mark(step_id: str) -> str:
    """Names a step of a function where only letters and digits may stand, and few."""
    return hashlib.sha256(step_id.encode()).hexdigest()[:16]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def account_of(queues: str) -> str:
    """The account in the URL of a queue, or in what such a URL begins with; empty where it names none."""
    account = urlsplit(queues).path.strip("/").partition("/")[0]
    return account if account.isdecimal() else ""


@dataclass(frozen=True, slots=True)
class Settings:
    """What every Lambda of a mill is told by its environment variables."""

    mill: str  # TIDEMILL_NAME: what the mill is called, such as "prod"
    table: str  # TIDEMILL_TABLE
    bucket: str  # TIDEMILL_BUCKET: where large values are kept
    bus: str  # TIDEMILL_BUS: the name of the event bus
    queues: (
        str  # TIDEMILL_QUEUES: what the URL of each queue begins with, "https://sqs.<region>.amazonaws.com/<account>/"
    )
    timers_arn: str  # TIDEMILL_TIMERS_ARN: the queue that schedules send to
    schedule_group: str  # TIDEMILL_SCHEDULE_GROUP
    schedule_role: str  # TIDEMILL_SCHEDULE_ROLE: the ARN of the role under which a schedule sends

    @property
    def account(self) -> str:
        """The account that all of it is in."""
        return account_of(self.queues)

    def queue_url(self, function_id: str) -> str:
        return self.queues + queue_name(self.mill, function_id)

    def dead_letter_url(self, function_id: str) -> str:
        return self.queues + dead_letter_name(self.mill, function_id)


def settings(environment: Mapping[str, str]) -> Settings:
    """Raises KeyError where a variable is missing: CDK sets them all."""
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
