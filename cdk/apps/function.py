"""The construct of one function: rule, registry item with queue and dead-letter queue, event source, schedules.

No other function refers to these resources, so adding or removing a function changes nothing else.
"""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from aws_cdk import CustomResource
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_scheduler as scheduler
from constructs import Construct, IDependable

from tidemill.model import CronTrigger
from tidemill_cdk.apps import cron
from tidemill_cdk.apps.manifest import Declared
from tidemill_cdk.names import Names
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.bus import SOURCE
from tidemill_cdk.resources.queues import FunctionQueues
from tidemill_cdk.settings import Settings

_CONCURRENCY = (2, 1_000)  # the range of an event source


class Function(Construct):
    """Brings a function's events to the Lambda `target` with the role `role` and a timeout of `timeout` seconds."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        names: Names,
        settings: Settings,
        bus: events.IEventBus,
        declared: Declared,
        target: lambda_.IFunction,
        role: iam.IRole,
        timeout: int,
        token: str,
        after: Sequence[IDependable],
        rules: Sequence[events.IRule] = (),
        log: logs.ILogGroup | None = None,
    ) -> None:
        """`token`: the ARN of the registry's Lambda. `after`: resources to create before the function. `rules`: other
        rules that send to its queue. `log`: of the Lambda, where it holds what the API reads for a run."""
        super().__init__(scope, id)
        spec = declared.spec
        self.queues = FunctionQueues(self, "Queues", names=names, function_id=declared.id)
        rules = list(rules)
        pattern = declared.pattern
        if pattern is not None:
            rules.append(listen(self, "Rule", bus=bus, function_id=declared.id, pattern=pattern, queues=self.queues))
        item = CustomResource(
            self,
            "Registry",
            resource_type="Custom::TidemillFunction",
            service_token=token,
            properties={
                "Function": declared.text,
                **({"LogGroup": log.log_group_name} if log is not None else {}),
                "Queues": self.queues.properties(
                    timeout=timeout, keep=settings.removal == "retain", rules=[rule.rule_arn for rule in rules]
                ),
            },
        )
        item.node.add_dependency(*after)
        source = lambda_.EventSourceMapping(
            self,
            "Source",
            target=target,
            event_source_arn=self.queues.queue.queue_arn,
            batch_size=1,
            report_batch_item_failures=True,
            max_concurrency=_most_at_once(spec["flow"]),
        )
        source.node.add_dependency(role, item)  # Lambda checks role and queue when the source is created
        self._tick(names, declared, after)

    def _tick(self, names: Names, declared: Declared, after: Sequence[IDependable]) -> None:
        crons = [one for one in declared.spec["triggers"] if one["type"] == "cron"]
        for number, one in enumerate(crons):
            trigger = CronTrigger(one["cron"], one["timezone"], one["jitter"])
            try:
                found = cron.schedules(trigger)
            except ValueError as error:
                raise DeployError(f"{declared.id}: {error}") from None
            for part, each in enumerate(found):
                schedule = scheduler.CfnSchedule(
                    self,
                    f"Cron{number}x{part}",
                    group_name=names.cron_group,
                    schedule_expression=each.expression,
                    schedule_expression_timezone=each.timezone,
                    flexible_time_window=scheduler.CfnSchedule.FlexibleTimeWindowProperty(
                        mode="FLEXIBLE" if each.window else "OFF", maximum_window_in_minutes=each.window
                    ),
                    target=scheduler.CfnSchedule.TargetProperty(
                        arn=self.queues.queue.queue_arn, role_arn=names.schedule_role_arn, input=each.input
                    ),
                )
                schedule.node.add_dependency(*after)  # group and role are given by name, which creates no dependency


def listen(
    scope: Construct,
    id: str,
    *,
    bus: events.IEventBus,
    function_id: str,
    pattern: dict[str, Any],
    queues: FunctionQueues,
) -> events.Rule:
    """The rule that brings a function the events of a pattern. What EventBridge cannot deliver is a dead letter."""
    rule = events.Rule(
        scope,
        id,
        event_bus=bus,
        description=f"Starts {function_id}"[:512],
        event_pattern=events.EventPattern(source=[SOURCE]),  # replaced: the construct's type knows no `$or`
        targets=[targets.SqsQueue(queues.queue, dead_letter_queue=queues.dead)],
    )
    # As text: CloudFormation takes no `null` in an object, and drops it from lists.
    text = json.dumps(pattern, separators=(",", ":"), ensure_ascii=False)
    cast("events.CfnRule", rule.node.default_child).add_property_override("EventPattern", text)
    return rule


def _most_at_once(flow: dict[str, Any]) -> int | None:
    """A bound on idle Lambdas, not the limit itself (the engine enforces that): a thousand Lambdas for starts that
    would find all places taken would be a waste."""
    limits = [one["limit"] for one in flow.get("concurrency", ()) if "key" not in one]
    least, most = _CONCURRENCY
    return min(max(least, 2 * min(limits)), most) if limits else None
