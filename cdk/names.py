"""The names of a deployment's AWS resources.

Every name contains the deployment's, which has no hyphen: so `tidemill-prod-*` belongs to one deployment only,
permissions can use prefixes, and a stack in another repository finds everything by name.
A function's queue is named by `tidemill.aws.settings`; the platform's own queues have an underscore where those have a
hyphen, so that no function can have such a name.
"""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Stack

from tidemill.aws.settings import app_prefix

HANDLER = "tidemill.aws.function.entry.handler"  # the executor's handler, in every app's Lambda
LOG_TAG = "tidemill:logs"  # of every log group that the API may read: its deployment's name
ROLE_TAG = "tidemill:deployment"  # the tag, with the deployment's name, of every role that runs code of the platform


@dataclass(frozen=True)
class Names:
    """The names and ARNs of one deployment in the stack's account and region."""

    deployment: str
    stack: Stack

    @property
    def prefix(self) -> str:
        return f"tidemill-{self.deployment}"

    @property
    def table(self) -> str:
        return self.prefix

    @property
    def bus(self) -> str:
        return self.prefix

    @property
    def bucket(self) -> str:
        return f"{self.prefix}-{self.stack.account}-{self.stack.region}"

    @property
    def schedule_group(self) -> str:
        return self.prefix

    @property
    def cron_group(self) -> str:
        return f"{self.prefix}-cron"

    @property
    def schedule_role(self) -> str:
        return f"{self.prefix}-schedules-{self.stack.region}"  # roles belong to the account, not the region

    @property
    def ingest_role(self) -> str:
        """Apps name it, to let the door for events read the secrets of their webhooks."""
        return f"{self.prefix}-ingest-{self.stack.region}"

    def layer_parameter(self, python: str, architecture: str) -> str:
        """The layer's SSM parameter; for another machine the parameter does not exist."""
        return f"/tidemill/{self.deployment}/layer/python{python}/{architecture}"

    @property
    def registry_parameter(self) -> str:
        return f"/tidemill/{self.deployment}/registry"

    def own_queue(self, what: str) -> str:
        """One of the platform's queues."""
        return f"{self.prefix}_{what}"

    def secret(self, what: str) -> str:
        return f"tidemill/{self.deployment}/{what}"

    # --- ARNs -----------------------------------------------------------------------------------------

    def arn(self, service: str, resource: str, *, region: bool = True, account: bool = True) -> str:
        stack = self.stack
        place = f"{stack.region if region else ''}:{stack.account if account else ''}"
        return f"arn:{stack.partition}:{service}:{place}:{resource}"

    @property
    def table_arn(self) -> str:
        return self.arn("dynamodb", f"table/{self.table}")

    @property
    def bucket_arn(self) -> str:
        return self.arn("s3", self.bucket, region=False, account=False)

    @property
    def bus_arn(self) -> str:
        return self.arn("events", f"event-bus/{self.bus}")

    @property
    def timers_arn(self) -> str:
        return self.arn("sqs", self.own_queue("timers"))

    @property
    def function_queues_arn(self) -> str:
        """Every function's queue, by prefix: a list would change in every Lambda with each function."""
        return self.arn("sqs", f"{self.prefix}-*")

    @property
    def dead_letters_arn(self) -> str:
        """Every function's dead-letter queue."""
        return self.arn("sqs", f"{self.prefix}-*-dead")

    def app_queues_arn(self, app: str) -> str:
        """The queues of one app's functions, by a prefix that no other app has."""
        return self.arn("sqs", f"{app_prefix(self.deployment, app)}*")

    @property
    def step_lambdas_arn(self) -> str:
        """Every Lambda of a step."""
        return self.arn("lambda", f"function:{self.prefix}_*")

    def task_roles_arn(self, definitions: str) -> str:
        """The roles of the containers of one folder, by their path."""
        return self.arn("iam", f"role{self.task_path(definitions)}*", region=False)

    def task_path(self, definitions: str) -> str:
        return f"/tidemill/{self.deployment}/{definitions}/"

    @property
    def schedules_arn(self) -> str:
        """Every schedule of the deployment: each long sleep has one."""
        return self.arn("scheduler", f"schedule/{self.schedule_group}/*")

    @property
    def schedule_role_arn(self) -> str:
        return self.arn("iam", f"role/{self.schedule_role}", region=False)

    def environment(self) -> dict[str, str]:
        """The environment of every Lambda of the deployment: see tidemill.aws.settings."""
        stack = self.stack
        return {
            "TIDEMILL_NAME": self.deployment,
            "TIDEMILL_TABLE": self.table,
            "TIDEMILL_BUCKET": self.bucket,
            "TIDEMILL_BUS": self.bus,
            "TIDEMILL_QUEUES": f"https://sqs.{stack.region}.{stack.url_suffix}/{stack.account}/",
            "TIDEMILL_TIMERS_ARN": self.timers_arn,
            "TIDEMILL_SCHEDULE_GROUP": self.schedule_group,
            "TIDEMILL_SCHEDULE_ROLE": self.schedule_role_arn,
        }
