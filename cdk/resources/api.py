"""The HTTP API with throttling: `/e` and `/w` take events, `/v1` reads and acts."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

import json
from typing import cast

from aws_cdk import aws_apigatewayv2 as apigateway
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from tidemill_cdk.checks.nag import accepted
from tidemill_cdk.names import LOG_TAG
from tidemill_cdk.resources.keys import Keys
from tidemill_cdk.resources.permissions import Allow, door, engine, publish
from tidemill_cdk.resources.platform_lambda import Platform, PlatformLambda, log_group
from tidemill_cdk.settings import Settings

_TIMEOUT = 29  # API Gateway waits for 30 s
_FEW = 50  # requests a second of rare calls
_BURST = 5_000  # the most that a stage takes
_POST, _GET, _ANY = apigateway.HttpMethod.POST, apigateway.HttpMethod.GET, apigateway.HttpMethod.ANY


class Api(Construct):
    """One HTTP API with two Lambdas: one takes events, the other serves everything under /v1."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform, keys: Keys) -> None:
        super().__init__(scope, id)
        names, settings = platform.names, platform.settings
        event_keys, api_keys = keys.event_keys.secret_arn, keys.api_keys.secret_arn
        environment = {"TIDEMILL_EVENT_KEYS": event_keys, "TIDEMILL_API_KEYS": api_keys}
        ingest = PlatformLambda(
            self,
            "Ingest",
            platform=platform,
            what="ingest",
            description="Takes events in over HTTPS and publishes them on the bus",
            timeout=_TIMEOUT,
            environment=environment,
            reserved=settings.ingest_reserved,
            allows=[
                publish(names),
                Allow(("secretsmanager:GetSecretValue",), (event_keys,)),
                *door(names),
            ],
            role_name=names.ingest_role,
        )
        self.ingest_role = ingest.role
        api = PlatformLambda(
            self,
            "Api",
            platform=platform,
            what="api",
            description="Answers /v1: events, runs, functions, signals",
            memory=512,
            timeout=_TIMEOUT,
            environment=environment,
            reserved=settings.api_reserved,
            allows=[
                *engine(names, lists=True),
                Allow(("secretsmanager:GetSecretValue",), (api_keys,)),
                Allow(
                    ("logs:FilterLogEvents",),
                    (names.arn("logs", "log-group:*:*"),),
                    "It shows the lines of a run. AWS names the log groups of apps; their tag names the deployment.",
                    {"StringEquals": {f"aws:ResourceTag/{LOG_TAG}": names.deployment}},
                ),
            ],
        )
        self.http = apigateway.HttpApi(self, "Http", api_name=names.prefix, create_default_stage=False)
        self._route(ingest.function, (("/e/{event_key}", _POST), ("/w/{event_key}/{name+}", _POST)))
        # Reading has its own route, and so its own throttle.
        rest = "/v1/{rest+}"
        self._route(api.function, (("/health", _GET), ("/openapi.json", _GET), (rest, _GET), (rest, _ANY)))
        stage = apigateway.HttpStage(
            self,
            "Stage",
            http_api=self.http,
            stage_name="$default",
            auto_deploy=True,
            throttle=apigateway.ThrottleSettings(rate_limit=settings.requests_per_second, burst_limit=settings.burst),
        )
        _throttle(stage, settings)
        _log_access(stage, log_group(self, settings))
        self.url = f"https://{self.http.api_id}.execute-api.{names.stack.region}.{names.stack.url_suffix}"

    def _route(self, function: lambda_.IFunction, routes: tuple[tuple[str, apigateway.HttpMethod], ...]) -> None:
        integration = integrations.HttpLambdaIntegration(f"To{function.node.path.split('/')[-2]}", function)
        for path, method in routes:
            for route in self.http.add_routes(path=path, methods=[method], integration=integration):
                accepted(
                    route,
                    "AwsSolutions-APIG4",
                    "The Lambda checks the key itself, in constant time: event keys stand in the path, as webhooks need"
                    " it, and API keys in a header. An authorizer would be a second Lambda for each request.",
                )


def _throttle(stage: apigateway.HttpStage, settings: Settings) -> None:
    """A flood of one kind of request does not block another. Routes not listed here have the senders' limit."""
    limits = {
        "GET /v1/{rest+}": settings.reads_per_second,
        "ANY /v1/{rest+}": settings.acts_per_second,
        "GET /health": _FEW,
        "GET /openapi.json": _FEW,
    }
    resource = cast("apigateway.CfnStage", stage.node.default_child)
    resource.route_settings = {
        route: {"ThrottlingRateLimit": limit, "ThrottlingBurstLimit": min(2 * limit, _BURST)}
        for route, limit in limits.items()
    }


def _log_access(stage: apigateway.HttpStage, group: logs.LogGroup) -> None:
    """Logs caller, route and result. Never the path: it contains the event key."""
    fields = ("requestId", "requestTime", "identity.sourceIp", "routeKey", "status", "responseLatency", "error.message")
    resource = cast("apigateway.CfnStage", stage.node.default_child)
    resource.access_log_settings = apigateway.CfnStage.AccessLogSettingsProperty(
        destination_arn=group.log_group_arn,
        format=json.dumps({field.replace(".", "_"): f"$context.{field}" for field in fields}),
    )
