"""The shared resources that apps connect to, from a deployment in this stack or in another repository's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from aws_cdk import Annotations, NestedStack
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from tidemill_cdk.apps.function import Function
from tidemill_cdk.apps.manifest import Declared, DeclaredSchema
from tidemill_cdk.apps.webhooks import Webhooks
from tidemill_cdk.names import Names
from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.alarms import Alarms
from tidemill_cdk.settings import Settings

_OWN_RULES = 2
_NEAR = 0.9


@dataclass
class Wiring:
    names: Names
    settings: Settings
    bus: events.IEventBus
    layer: lambda_.ILayerVersion
    token: str  # the ARN of the registry's Lambda
    home: Construct  # the deployment as it is seen from this stack
    door: iam.IRole  # of the Lambda that takes events in
    after: Sequence[IDependable] = ()  # what has to be there before a function; nothing where it is another stack's
    alarms: Alarms | None = None
    rules: int = _OWN_RULES
    webhooks: set[str] = field(default_factory=set[str])
    ids: set[str] = field(default_factory=set[str])
    limits: dict[tuple[str, ...], tuple[str, int]] = field(default_factory=dict[tuple[str, ...], tuple[str, int]])

    schemas: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict[tuple[str, str], tuple[str, str]])

    def declares(self, schema: DeclaredSchema, what: str) -> bool:
        """Whether this is the first time that the schema is declared. Raises DeployError where it is another one."""
        known = self.schemas.get((schema.name, schema.v))
        if known is None:
            self.schemas[schema.name, schema.v] = schema.schema, what
            return True
        if known[0] != schema.schema:
            raise DeployError(
                f"the event {schema.name!r} has two schemas for version {schema.v!r}, by {known[1]} and by {what}; give"
                " one of them a version of its own"
            )
        return False

    def connect(
        self,
        scope: Construct,
        *,
        declared: Declared,
        target: lambda_.IFunction,
        role: iam.IRole,
        timeout: int,
        rules: Sequence[events.IRule] = (),
        log: logs.ILogGroup | None = None,
    ) -> Function:
        """Make a function's resources below `scope`. Raises DeployError for a duplicate id, a full bus, or a full
        stack."""
        if declared.id in self.ids:
            raise DeployError(f"two functions have the id {declared.id!r}; give one of them another")
        self.ids.add(declared.id)
        self._agree(declared)
        self._count(scope, declared)
        function = Function(
            self._place(scope, declared.id),
            declared.id,
            names=self.names,
            settings=self.settings,
            bus=self.bus,
            declared=declared,
            target=target,
            role=role,
            timeout=timeout,
            token=self.token,
            after=self.after,
            rules=rules,
            log=log,
        )
        if self.alarms is not None and self.settings.alarms == "function":
            self.alarms.watch(function, declared.id, function.queues.queue, function.queues.dead)
        return function

    def admit(
        self,
        scope: Construct,
        declared: Sequence[Mapping[str, Any]],
        secrets: Mapping[str, secretsmanager.ISecret],
    ) -> None:
        """The webhooks of an app, below `scope`. Raises DeployError for a name taken, or a secret that is missing."""
        for one in declared:
            if one["name"] in self.webhooks:
                raise DeployError(f"two apps declare a webhook {one['name']!r}; give one of them another name")
            self.webhooks.add(str(one["name"]))
        if declared:
            Webhooks(
                scope,
                "Webhooks",
                declared=declared,
                secrets=secrets,
                door=self.door,
                token=self.token,
                after=self.after,
            )

    def _agree(self, declared: Declared) -> None:
        """Check that functions declare a shared limit of an app or the account alike."""
        spec = declared.spec
        for one in spec.get("flow", {}).get("concurrency", ()):
            owner = {"app": str(spec["app"]), "account": ""}.get(one["scope"])
            if owner is None:
                continue
            key = (one["scope"], owner, one.get("key") or "", one["counts"])
            other, limit = self.limits.setdefault(key, (declared.id, one["limit"]))
            if limit != one["limit"]:
                raise DeployError(
                    f"{other} and {declared.id} share one concurrency limit of the {one['scope']}, but {other} gives "
                    f"it {limit} places and {declared.id} {one['limit']}; declare the same limit in both, or give one "
                    "of them another key"
                )

    def _place(self, scope: Construct, function_id: str) -> Construct:
        """The scope of a function's resources: a nested stack determined by its id, so that none ever moves."""
        number = self.settings.function_stacks
        if number == 0:
            return scope
        chosen = int.from_bytes(hashlib.sha256(function_id.encode()).digest()[:4], "big") % number
        id = f"Functions{chosen}"
        found = self.home.node.try_find_child(id)
        return cast("Construct", found) if found is not None else NestedStack(self.home, id)

    def _count(self, scope: Construct, declared: Declared) -> None:
        self.rules += declared.pattern is not None
        most = self.settings.rules
        advice = (
            "ask AWS to raise EventBridge's quota of rules per event bus (Service Quotas) and set tidemill:rules to it,"
            " or deploy a second Tidemill under another name for some of the apps"
        )
        if self.rules > most:
            raise DeployError(f"{declared.id!r} would be rule {self.rules} of a bus that takes {most}: {advice}")
        if self.rules == int(most * _NEAR):
            Annotations.of(scope).add_warning_v2(
                "tidemill:rules", f"this bus has {self.rules} rules of the {most} that it takes: {advice}"
            )
