"""The platform, as its template has it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cdk.conftest import pattern_of, queues_of
from cdk.policies import resolved

from tidemill.aws.dynamo import keys as schema
from tidemill.aws.settings import dead_letter_name, queue_name
from tidemill_cdk.settings import own_python
from tidemill_local.cost import estimate


def test_no_finding_is_left(synthesized: Path) -> None:
    """Of cdk-nag, and of CloudFormation's own rules: only the user's own Lambda has some, made as users make theirs."""
    report = json.loads((synthesized / "validation-report.json").read_text())
    found = {
        (violation["ruleName"].partition("[")[0], place["constructPath"])
        for one in report["pluginReports"]
        for violation in one["violations"]
        for place in violation["violatingConstructs"]
    }
    assert found == {
        ("AwsSolutions-IAM4", "Whole/Legacy/ServiceRole/Resource"),
        ("AwsSolutions-L1", "Whole/Legacy/Resource"),
    }


def test_table(whole: Any) -> None:
    (table,) = whole.of("AWS::DynamoDB::Table").values()
    assert table["TableName"] == "tidemill-prod"
    assert table["KeySchema"] == [
        {"AttributeName": schema.PK, "KeyType": "HASH"},
        {"AttributeName": schema.SK, "KeyType": "RANGE"},
    ]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": schema.TTL, "Enabled": True}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True, "RecoveryPeriodInDays": 35}
    assert table["DeletionProtectionEnabled"] is False  # a first deployment that fails could not be repeated
    indexes = {
        one["IndexName"]: [key["AttributeName"] for key in one["KeySchema"]] for one in table["GlobalSecondaryIndexes"]
    }
    assert indexes == {index.name: [index.pk, index.sk] for index in schema.INDEXES}
    carried = {
        one["IndexName"]: one["Projection"].get("NonKeyAttributes", []) for one in table["GlobalSecondaryIndexes"]
    }
    assert carried == {index.name: list(index.also) for index in schema.INDEXES}


@pytest.mark.parametrize(
    "kind", ["AWS::DynamoDB::Table", "AWS::S3::Bucket", "AWS::SecretsManager::Secret", "AWS::Logs::LogGroup"]
)
def test_data_outlives_the_stack(whole: Any, kind: str) -> None:
    found = [one for one in whole.resources.values() if one["Type"] == kind]
    assert found
    kept = {("RetainExceptOnCreate", "Retain")}  # a deployment that fails to make them leaves none of them
    assert {(one["DeletionPolicy"], one["UpdateReplacePolicy"]) for one in found} == kept


def test_nothing_is_kept_through_the_rollback_of_its_own_creation(whole: Any, defined: Any) -> None:
    for template in (whole, defined):
        assert [name for name, one in template.resources.items() if one.get("DeletionPolicy") == "Retain"] == []


NAMED = {
    "AWS::DynamoDB::Table": "TableName", "AWS::S3::Bucket": "BucketName", "AWS::Events::EventBus": "Name",
    "AWS::Events::Archive": "ArchiveName", "AWS::Scheduler::ScheduleGroup": "Name", "AWS::SNS::Topic": "TopicName",
    "AWS::CloudWatch::Dashboard": "DashboardName", "AWS::SecretsManager::Secret": "Name",
    "AWS::SQS::Queue": "QueueName",
    "AWS::IAM::Role": "RoleName", "AWS::SSM::Parameter": "Name", "AWS::Lambda::LayerVersion": "LayerName",
    "AWS::Logs::LogGroup": "LogGroupName", "AWS::Lambda::Function": "FunctionName",
}  # fmt: skip


def test_only_what_others_have_to_find_has_a_name_of_ours(whole: Any) -> None:
    named = {
        resolved(one[field])
        for kind, field in NAMED.items()
        for one in whole.of(kind).values()
        if one.get(field) is not None
    }
    assert named == {
        *("tidemill-prod", "tidemill-prod-cron", "tidemill-prod_timers"),
        *(
            "tidemill-prod-123456789012-eu-west-1",
            "tidemill-prod-schedules-eu-west-1",
            "tidemill-prod-ingest-eu-west-1",
        ),
        *("tidemill/prod/event-keys", "tidemill/prod/api-keys", "/tidemill/prod/registry"),
        f"/tidemill/prod/layer/python{own_python()}/arm64",
    }


def test_bucket_is_closed(whole: Any) -> None:
    (bucket,) = whole.of("AWS::S3::Bucket").values()
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    (policy,) = whole.of("AWS::S3::BucketPolicy").values()
    assert denies_plain_http(policy["PolicyDocument"])


def test_every_queue_is_encrypted_and_refuses_plain_http(whole: Any) -> None:
    queues = whole.of("AWS::SQS::Queue")
    assert all(queue["SqsManagedSseEnabled"] is True for queue in queues.values())
    secured = {
        queue["Ref"]
        for policy in whole.of("AWS::SQS::QueuePolicy").values()
        if denies_plain_http(policy["PolicyDocument"])
        for queue in policy["Queues"]
    }
    assert secured == set(queues)


def denies_plain_http(document: dict[str, Any]) -> bool:
    wanted = {"Bool": {"aws:SecureTransport": "false"}}
    return any(one["Effect"] == "Deny" and one.get("Condition") == wanted for one in document["Statement"])


LAMBDAS = {
    "ingest": "tidemill_lambdas.ingest.entry.handler",
    "api": "tidemill_lambdas.api.entry.handler",
    "events": "tidemill_lambdas.events.entry.handler",
    "timers": "tidemill_lambdas.timers.entry.handler",
    "sweeper": "tidemill_lambdas.sweeper.entry.handler",
    "registry": "tidemill_lambdas.registry.entry.handler",
    "keys": "tidemill_lambdas.keys.entry.handler",
}


@pytest.mark.parametrize("what", LAMBDAS)
def test_lambdas(whole: Any, what: str) -> None:
    found = whole.named("AWS::Lambda::Function", "Handler", LAMBDAS[what])
    assert found["Architectures"] == ["arm64"]
    assert found["TracingConfig"] == {"Mode": "Active"}
    assert found["RecursiveLoop"] == "Allow"
    assert len(found["Layers"]) == 1
    assert found["LoggingConfig"]["LogGroup"]
    variables = found["Environment"]["Variables"]
    assert {name for name in variables if name.startswith("TIDEMILL_")} >= {
        *("TIDEMILL_NAME", "TIDEMILL_TABLE", "TIDEMILL_BUCKET", "TIDEMILL_BUS", "TIDEMILL_QUEUES"),
        *("TIDEMILL_TIMERS_ARN", "TIDEMILL_SCHEDULE_GROUP", "TIDEMILL_SCHEDULE_ROLE"),
    }
    assert ("TIDEMILL_EVENT_KEYS" in variables) == (what in ("ingest", "api"))
    assert ("TIDEMILL_EVENTS_QUEUE" in variables) == (what == "sweeper")


def test_doors(whole: Any) -> None:
    routes = {one["RouteKey"] for one in whole.of("AWS::ApiGatewayV2::Route").values()}
    assert routes == {
        *("POST /e/{event_key}", "POST /w/{event_key}/{name+}"),
        *("GET /health", "GET /openapi.json", "GET /v1/{rest+}", "ANY /v1/{rest+}"),
    }
    (stage,) = whole.of("AWS::ApiGatewayV2::Stage").values()
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 2_000, "ThrottlingRateLimit": 1_000}
    apart = stage["RouteSettings"]
    assert set(apart) == {"GET /health", "GET /openapi.json", "GET /v1/{rest+}", "ANY /v1/{rest+}"}
    assert apart["GET /v1/{rest+}"] == {"ThrottlingBurstLimit": 1_000, "ThrottlingRateLimit": 500}


def test_no_key_in_the_access_log(whole: Any) -> None:
    (stage,) = whole.of("AWS::ApiGatewayV2::Stage").values()
    logged = set(json.loads(stage["AccessLogSettings"]["Format"]).values())
    assert "$context.routeKey" in logged
    assert not logged & {"$context.path", "$context.httpMethod$context.path", "$context.requestOverride.path"}


def test_rules_of_the_events_queue(whole: Any) -> None:
    patterns = [pattern_of(one) for one in whole.of("AWS::Events::Rule").values() if "EventPattern" in one]
    assert {"source": ["tidemill"]} in patterns
    assert {"source": [{"anything-but": ["tidemill"]}]} in patterns


def test_keys_are_made_and_rotated(whole: Any) -> None:
    secrets = whole.of("AWS::SecretsManager::Secret")
    assert {one["Name"] for one in secrets.values()} == {"tidemill/prod/event-keys", "tidemill/prod/api-keys"}
    assert all(one["GenerateSecretString"]["PasswordLength"] >= 32 for one in secrets.values())
    rotations = whole.of("AWS::SecretsManager::RotationSchedule")
    assert {one["SecretId"]["Ref"] for one in rotations.values()} == set(secrets)
    assert {one["RotateImmediatelyOnUpdate"] for one in rotations.values()} == {False}
    assert {one["RotationRules"]["AutomaticallyAfterDays"] for one in rotations.values()} == {90}


def test_schedules_may_only_send(whole: Any) -> None:
    role = whole.named(
        "AWS::IAM::Role", "RoleName", {"Fn::Join": ["", ["tidemill-prod-schedules-", {"Ref": "AWS::Region"}]]}
    )  # type: ignore[arg-type]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "scheduler.amazonaws.com"}
    assert statement["Action"] == "sts:AssumeRole"
    assert resolved(statement["Condition"]) == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnEquals": {
            "aws:SourceArn": [
                f"arn:aws:scheduler:eu-west-1:123456789012:schedule-group/{group}"
                for group in ("tidemill-prod", "tidemill-prod-cron")
            ]
        },
    }


SERVICES = {
    **dict.fromkeys(("lambda.amazonaws.com", "ecs-tasks.amazonaws.com"), None),
    "scheduler.amazonaws.com": {"StringEquals", "ArnEquals"},
}


def test_roles_are_taken_by_the_service_that_they_are_for(whole: Any, defined: Any) -> None:
    """Each trust policy by its value; the scheduler's conditions are asserted above."""
    for template in (whole, defined):
        for role in template.of("AWS::IAM::Role").values():
            (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
            service = statement["Principal"]["Service"]
            conditions = SERVICES[service]
            wanted = {"Action": "sts:AssumeRole", "Effect": "Allow", "Principal": {"Service": service}}
            assert {name: statement[name] for name in wanted} == wanted
            assert set(statement) - set(wanted) == (set() if conditions is None else {"Condition"})
            assert set(statement.get("Condition", {})) == (conditions or set())


def test_sweep_runs_each_minute(whole: Any) -> None:
    scheduled = [one for one in whole.of("AWS::Events::Rule").values() if "ScheduleExpression" in one]
    assert [one["ScheduleExpression"] for one in scheduled] == ["rate(1 minute)"]


def test_alarms_go_to_the_topic_and_are_few(whole: Any) -> None:
    alarms = whole.of("AWS::CloudWatch::Alarm")
    (topic,) = whole.of("AWS::SNS::Topic")
    assert all(one["AlarmActions"] == [{"Ref": topic}] for one in alarms.values())
    assert len(alarms) == 12
    assert [one["Endpoint"] for one in whole.of("AWS::SNS::Subscription").values()] == ["ops@example.com"]
    assert len(whole.of("AWS::CloudWatch::Dashboard")) == 1


def test_what_a_mill_costs_while_idle_is_what_is_deployed(whole: Any) -> None:
    """What `tidemill cost` takes for granted about the platform; queues, rules and alarms of its functions apart."""
    alarms = whole.of("AWS::CloudWatch::Alarm").values()
    watched = [[one["MetricStat"] for one in alarm.get("Metrics", ()) if "MetricStat" in one] for alarm in alarms]
    assert sum(max(len(metrics), 1) for metrics in watched) == estimate.ALARMS
    assert len(whole.of("AWS::CloudWatch::Dashboard")) == 1
    assert len(whole.of("AWS::SecretsManager::Secret")) == estimate.SECRETS
    assert len(whole.of("AWS::KMS::Key")) == estimate.KEYS
    sources = whole.of("AWS::Lambda::EventSourceMapping")
    assert len(sources) - len(function_sources(whole)) == estimate.OWN_QUEUES
    drawn = json.dumps(list(whole.of("AWS::CloudWatch::Dashboard").values()))
    custom = set(re.findall(r'\\"Tidemill\\",\\"(\w+)\\"', drawn))
    assert len(custom) == estimate.METRICS


def test_outputs(whole: Any) -> None:
    described = {one["Description"].split()[0] for one in whole.body["Outputs"].values() if "Description" in one}
    names = {"TidemillUrl", "TidemillBusName", "TidemillLayerArn", "TidemillEventKeys", "TidemillApiKeys"}
    assert set(whole.body["Outputs"]) == names
    assert described == {"Events", "The"}
    assert not any("Export" in one for one in whole.body["Outputs"].values())


# --- functions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("id", "timeout"), [("shop.large", 120), ("shop.daily", 120), ("legacy", 20)])
def test_queue_of_a_function(whole: Any, id: str, timeout: int) -> None:
    made = queues_of(whole, id)
    assert (made["Name"], made["DeadName"]) == (queue_name("prod", id), dead_letter_name("prod", id))
    queue, dead = made["Attributes"], made["DeadAttributes"]
    assert queue["VisibilityTimeout"] == str(timeout + 15)
    redrive = json.loads(queue["RedrivePolicy"])
    assert redrive["deadLetterTargetArn"].endswith(f":{made['DeadName']}")
    assert redrive["maxReceiveCount"] == 500
    for each in (queue, dead):
        assert each["MessageRetentionPeriod"] == str(14 * 86_400)
        assert each["SqsManagedSseEnabled"] == "true"
        assert denies_plain_http(json.loads(each["Policy"]))
    assert made["Keep"] == "true"


def function_sources(template: Any) -> list[dict[str, Any]]:
    return [one for one in template.of("AWS::Lambda::EventSourceMapping").values() if one["BatchSize"] == 1]


def test_sources_of_functions(whole: Any) -> None:
    sources = function_sources(whole)
    assert len(sources) == 4
    assert {tuple(one["FunctionResponseTypes"]) for one in sources} == {("ReportBatchItemFailures",)}
    bounds = [one["ScalingConfig"]["MaximumConcurrency"] for one in sources if "ScalingConfig" in one]
    assert sorted(bounds) == [2, 6]  # of Concurrency(1) and Concurrency(3)


def test_rules_of_functions(whole: Any) -> None:
    rules = {
        one.get("Description"): pattern_of(one)
        for one in whole.of("AWS::Events::Rule").values()
        if "EventPattern" in one
    }
    assert rules["Starts shop.large"] == {
        "source": ["tidemill"],
        "detail": {
            "name": ["order/placed"],
            "$or": [{"data": {"total": [{"numeric": [">", 100]}], "plan": ["pro"]}}, {"inexact": [True]}],
        },
    }
    assert rules["Starts shop.daily"] == {"source": ["tidemill"], "detail": {"name": [{"prefix": "user/"}]}}
    assert rules["Starts legacy"]["detail"] == {"name": ["order/placed"], "data": {"region": ["eu", "us"]}}
    assert "Starts shop.invoked-only" not in rules


def test_rules_keep_what_cannot_be_delivered(whole: Any) -> None:
    for rule in whole.of("AWS::Events::Rule").values():
        for target in rule["Targets"] if "EventPattern" in rule else ():
            assert target["DeadLetterConfig"]


def test_registry_items(whole: Any) -> None:
    items = [json.loads(one["Function"]) for one in whole.of("Custom::TidemillFunction").values()]
    assert sorted(one["id"] for one in items) == ["legacy", "shop.daily", "shop.invoked-only", "shop.large"]
    assert all("pattern" not in one for one in items)


def test_cron_schedules(whole: Any) -> None:
    found = whole.of("AWS::Scheduler::Schedule").values()
    assert {one["ScheduleExpression"] for one in found} == {"cron(0 9 13 * ? *)", "cron(0 9 ? * 6 *)"}
    assert {one["ScheduleExpressionTimezone"] for one in found} == {"Europe/Paris"}
    assert [one["FlexibleTimeWindow"] for one in found] == [{"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}] * 2
    assert {one["GroupName"] for one in found} == {"tidemill-prod-cron"}


def test_lambda_of_an_app(whole: Any) -> None:
    shop = whole.named("AWS::Lambda::Function", "Description", "The shop")
    assert shop["Handler"] == "tidemill.aws.function.entry.handler"
    assert (shop["MemorySize"], shop["Timeout"]) == (1_024, 120)
    variables = shop["Environment"]["Variables"]
    assert (variables["TIDEMILL_APP"], variables["CURRENCY"]) == ("shop:app", "EUR")
    assert "stripe" in json.dumps(variables["STRIPE"])


def test_attached_lambda_keeps_its_handler(whole: Any) -> None:
    (legacy,) = [
        one for one in whole.of("AWS::Lambda::Function").values()
        if one["Environment"]["Variables"].get("TIDEMILL_HANDLER") == "legacy.handler"
    ]  # fmt: skip
    assert legacy["Handler"] == "tidemill.aws.function.entry.handler"
    assert json.loads(legacy["Environment"]["Variables"]["TIDEMILL_FUNCTION"])["id"] == "legacy"
    assert len(legacy["Layers"]) == 1
    assert legacy["RecursiveLoop"] == "Allow"


# --- what a deployment changes -------------------------------------------------------------------------


def test_a_new_function_changes_only_its_own_resources(before: Any, after: Any) -> None:
    added = set(after.resources) - set(before.resources)
    assert set(before.resources) - set(after.resources) == set()
    kinds = sorted(after.resources[name]["Type"] for name in added)
    assert kinds == sorted(["AWS::Events::Rule", "AWS::Lambda::EventSourceMapping", "Custom::TidemillFunction"])
    assert all("thank" in name.lower() for name in added)
    changed = {name for name, one in before.resources.items() if after.resources[name] != one}
    assert {before.resources[name]["Type"] for name in changed} == {"AWS::Lambda::Function"}
    (shop,) = changed  # its code has changed, and nothing else
    old, new = before.resources[shop], after.resources[shop]
    old["Properties"].pop("Code"), new["Properties"].pop("Code")
    old.pop("Metadata", None), new.pop("Metadata", None)
    assert old == new


def test_an_app_of_another_repository(joined: Any, before: Any) -> None:
    """It finds the deployment by name: its own resources are as in the deployment's stack, the others are absent."""
    kinds = {one["Type"] for one in joined.resources.values()}
    assert not kinds & {"AWS::DynamoDB::Table", "AWS::Events::EventBus", "AWS::Lambda::LayerVersion"}
    (rule,) = joined.of("AWS::Events::Rule").values()
    assert rule["EventBusName"] == "tidemill-prod"
    (item,) = joined.of("Custom::TidemillFunction").values()
    asked = {name: one for name, one in joined.body["Parameters"].items() if "tidemill" in str(one["Default"])}
    assert {one["Default"]: one["Type"] for one in asked.values()} == dict.fromkeys(
        ("/tidemill/prod/registry", f"/tidemill/prod/layer/python{own_python()}/arm64"),
        "AWS::SSM::Parameter::Value<String>",
    )
    assert asked[item["ServiceToken"]["Ref"]]["Default"] == "/tidemill/prod/registry"
    assert "Fn::ImportValue" not in json.dumps(joined.body)
