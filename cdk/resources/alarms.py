"""The alarms of a deployment, and its dashboard.

An alarm costs by its metrics. So the platform's metrics have one dimension, the deployment: ten alarms watch three
hundred functions, and the log line behind a number names the function and run. `tidemill:alarms=function` adds two for
each function.
"""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tidemill.limits import MINUTE, SECOND
from tidemill_cdk.names import Names
from tidemill_cdk.settings import Settings

NAMESPACE = "Tidemill"  # the namespace of the metrics in the Lambdas' logs
_PERIOD = Duration.minutes(5)
_FAILING = 10  # percent of failed runs, and the fewest runs in a period:
_ENOUGH = 10
_LATE = 5 * MINUTE
_LATE_WAKE = 30 * SECOND
_OLD = 15 * MINUTE // SECOND


class Alarms(Construct):
    """The topic of alarms, and the alarms of the whole deployment."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        names: Names,
        settings: Settings,
        queues: Mapping[str, sqs.IQueue],
        dead: Mapping[str, sqs.IQueue],
        sweeper: lambda_.IFunction,
    ) -> None:
        """`queues` and `dead`: the platform's own, by their name in the alarm."""
        super().__init__(scope, id)
        self.names = names
        self.topic = _topic(self, names)
        if settings.alarm_email:
            self.topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
        self._some("DeadLetters", "a message could not be processed: its function's dead-letter queue has it")
        self._some("DeadLettersAdopted", "a Lambda could not begin at all, most likely a bad deploy")
        self._some("EventsRejected", "an event put on the bus did not fit its schema")
        self._some("SweeperFound", "runs were overdue: messages or schedules were lost", periods=3)
        self._over("QueueAge", "p99", _LATE, "starts wait in their queues for more than 5 minutes", periods=3)
        self._over("WakeUpLateness", "p99", _LATE_WAKE, "runs wake up more than 30 s late", periods=3)
        self._alarm("FailureRate", self._failing(), _FAILING, "more than 10 % of the runs fail", periods=3)
        for name, queue in dead.items():
            self._alarm(
                f"Dead{name}", visible(queue), 0, f"there are dead letters of {name.lower()}, a queue of the platform"
            )
        for name, queue in queues.items():
            self._alarm(f"Old{name}", oldest(queue), _OLD, f"the queue of {name} is not processed")
        self._alarm(
            "SweeperErrors",
            sweeper.metric_errors(period=_PERIOD),
            0,
            "the sweep fails: what is lost stays lost",
            periods=3,
        )
        _dashboard(self, names)

    def watch(self, scope: Construct, function_id: str, queue: sqs.IQueue, dead: sqs.IQueue) -> None:
        """The two alarms of one function."""
        self._alarm("Dead", visible(dead), 0, f"{function_id} has dead letters", scope=scope)
        self._alarm("Old", oldest(queue), _OLD, f"{function_id} does not keep up with its queue", scope=scope)

    def _some(self, metric: str, what: str, periods: int = 1) -> None:
        self._alarm(metric, ours(self.names, metric, "Sum"), 0, what, periods=periods)

    def _over(self, metric: str, statistic: str, most: float, what: str, periods: int) -> None:
        self._alarm(metric, ours(self.names, metric, statistic), most, what, periods=periods)

    def _failing(self) -> cloudwatch.MathExpression:
        return cloudwatch.MathExpression(
            expression=f"IF(FILL(failed, 0) + FILL(completed, 0) >= {_ENOUGH},"
            " 100 * FILL(failed, 0) / (FILL(failed, 0) + FILL(completed, 0)), 0)",
            using_metrics={
                "failed": ours(self.names, "RunsFailed", "Sum"),
                "completed": ours(self.names, "RunsCompleted", "Sum"),
            },
            label="percent of runs that fail",
            period=_PERIOD,
        )

    def _alarm(
        self,
        id: str,
        metric: cloudwatch.IMetric,
        most: float,
        what: str,
        *,
        periods: int = 1,
        scope: Construct | None = None,
    ) -> None:
        alarm = cloudwatch.Alarm(
            scope or self,
            id,
            alarm_description=f"Tidemill {self.names.deployment}: {what}",
            metric=metric,
            threshold=most,
            evaluation_periods=periods,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(actions.SnsAction(self.topic))


def _topic(scope: Construct, names: Names) -> sns.Topic:
    """Encrypted with its own key: CloudWatch cannot use AWS's key for topics."""
    alarms = iam.ServicePrincipal("cloudwatch.amazonaws.com", conditions=_only_alarms(names))
    key = kms.Key(
        scope,
        "Key",
        description=f"The topic of alarms of the deployment {names.deployment}",
        enable_key_rotation=True,
        removal_policy=RemovalPolicy.DESTROY,  # its messages are sent, and not stored
    )
    uses = iam.PolicyStatement(principals=[alarms], actions=["kms:Decrypt", "kms:GenerateDataKey*"], resources=["*"])
    key.add_to_resource_policy(uses)
    topic = sns.Topic(scope, "Topic", topic_name=names.prefix, enforce_ssl=True, master_key=key)
    # A topic policy replaces the default, so it has to allow alarms.
    sends = iam.PolicyStatement(principals=[alarms], actions=["sns:Publish"], resources=[topic.topic_arn])
    topic.add_to_resource_policy(sends)
    return topic


def _only_alarms(names: Names) -> dict[str, Any]:
    """The alarms of this account and region."""
    return {
        "StringEquals": {"aws:SourceAccount": names.stack.account},
        "ArnLike": {"aws:SourceArn": names.arn("cloudwatch", "alarm:*")},
    }


def ours(names: Names, metric: str, statistic: str) -> cloudwatch.Metric:
    """A metric that the Lambdas write; its only dimension is the deployment."""
    return cloudwatch.Metric(
        namespace=NAMESPACE,
        metric_name=metric,
        dimensions_map={"mill": names.deployment},
        statistic=statistic,
        period=_PERIOD,
    )


def visible(queue: sqs.IQueue) -> cloudwatch.Metric:
    return queue.metric_approximate_number_of_messages_visible(period=_PERIOD, statistic="Maximum")


def oldest(queue: sqs.IQueue) -> cloudwatch.Metric:
    return queue.metric_approximate_age_of_oldest_message(period=_PERIOD, statistic="Maximum")


def _dashboard(scope: Construct, names: Names) -> None:
    def graph(title: str, *metrics: tuple[str, str]) -> cloudwatch.GraphWidget:
        return cloudwatch.GraphWidget(
            title=title, width=12, left=[ours(names, metric, statistic) for metric, statistic in metrics]
        )

    cloudwatch.Dashboard(
        scope,
        "Dashboard",
        dashboard_name=names.prefix,
        widgets=[
            [
                graph("Runs", ("RunsStarted", "Sum"), ("RunsCompleted", "Sum"), ("RunsFailed", "Sum")),
                graph("Duration of steps (ms)", ("StepDuration", "p50"), ("StepDuration", "p99")),
            ],
            [
                graph("Age of starts in their queues (ms)", ("QueueAge", "p50"), ("QueueAge", "p99")),
                graph("Lateness of wake-ups (ms)", ("WakeUpLateness", "p50"), ("WakeUpLateness", "p99")),
            ],
            [
                graph(
                    "What should not be",
                    ("DeadLetters", "Sum"),
                    ("DeadLettersAdopted", "Sum"),
                    ("SweeperFound", "Sum"),
                    ("EventsRejected", "Sum"),
                ),
                graph(
                    "Runs not begun yet; long sleeps that came due", ("Backlog", "Maximum"), ("TimersForwarded", "Sum")
                ),
            ],
        ],
    )
