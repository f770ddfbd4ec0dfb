"""What apps connect to: the same for a mill of this stack and for one of another repository's."""

from __future__ import annotations

from dataclasses import dataclass, field

from aws_cdk import Annotations
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from tidemill_cdk.alarms import Alarms
from tidemill_cdk.function import Function
from tidemill_cdk.manifest import Declared
from tidemill_cdk.names import Names
from tidemill_cdk.problems import DeployError
from tidemill_cdk.settings import Settings

_OWN_RULES = 2
_NEAR = 0.9


@dataclass
class Wiring:
    names: Names
    settings: Settings
    bus: events.IEventBus
    layer: lambda_.ILayerVersion
    registry: Construct | None = None  # None: it is another stack's, and there already
    alarms: Alarms | None = None
    timers: Construct | None = None  # as the registry
    rules: int = _OWN_RULES
    ids: set[str] = field(default_factory=set[str])

    def connect(
        self, scope: Construct, *, declared: Declared, target: lambda_.IFunction, role: iam.IRole, timeout: int
    ) -> Function:
        """A function's own resources below `scope`. Raises DeployError for an id taken and for a full bus."""
        if declared.id in self.ids:
            raise DeployError(f"two functions have the id {declared.id!r}; give one of them another")
        self.ids.add(declared.id)
        self._count(scope, declared)
        function = Function(
            scope,
            declared.id,
            names=self.names,
            settings=self.settings,
            bus=self.bus,
            declared=declared,
            target=target,
            role=role,
            timeout=timeout,
            registry=self.registry,
            timers=self.timers,
        )
        if self.alarms is not None and self.settings.alarms == "function":
            self.alarms.watch(function, declared.id, function.queues.queue, function.queues.dead)
        return function

    def _count(self, scope: Construct, declared: Declared) -> None:
        self.rules += declared.pattern is not None
        most = self.settings.rules
        advice = (
            "ask AWS to raise EventBridge's quota of rules per event bus (Service Quotas) and set tidemill:rules to it,"
            " or deploy a second mill under another name for some of the apps"
        )
        if self.rules > most:
            raise DeployError(f"{declared.id!r} would be rule {self.rules} of a bus that takes {most}: {advice}")
        if self.rules == int(most * _NEAR):
            Annotations.of(scope).add_warning_v2(
                "tidemill:rules", f"this bus has {self.rules} rules of the {most} that it takes: {advice}"
            )
