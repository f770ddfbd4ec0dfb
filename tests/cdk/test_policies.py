"""Who may do what by the policies of the template: every service that has to pass, and who must not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cdk.conftest import queues_of
from cdk.policies import ACCOUNT, REGION, allows, each, resolved, role_statements, statements

HERE = f"{REGION}:{ACCOUNT}"
EVENTS, CLOUDWATCH = {"Service": "events.amazonaws.com"}, {"Service": "cloudwatch.amazonaws.com"}
TABLE = f"arn:aws:dynamodb:{HERE}:table/tidemill-prod"


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{HERE}:{name}"


# --- policies of resources ---------------------------------------------------------------------------------


@pytest.mark.parametrize("id", ["shop.large", "shop.daily", "legacy"])
def test_eventbridge_may_send_from_the_functions_own_rule(whole: Any, id: str) -> None:
    made = queues_of(whole, id)
    (rule,) = [name for name, one in whole.of("AWS::Events::Rule").items() if one.get("Description") == f"Starts {id}"]
    for name, attributes in ((made["Name"], "Attributes"), (made["DeadName"], "DeadAttributes")):
        found, arn = statements(made[attributes]["Policy"]), queue_arn(name)
        own, tls = f"<{rule}.Arn>", "true"
        assert allows(found, "sqs:SendMessage", arn, EVENTS, aws_SourceArn=own, aws_SecureTransport=tls)
        assert not allows(found, "sqs:SendMessage", arn, EVENTS, aws_SourceArn="<Other.Arn>", aws_SecureTransport=tls)
        assert not allows(found, "sqs:SendMessage", arn, EVENTS, aws_SourceArn=own, aws_SecureTransport="false")


def test_rules_on_the_default_bus_may_send_that_containers_have_stopped(defined: Any) -> None:
    for id in ("signup", "theirs"):
        made = queues_of(defined, id)
        rules = [
            name
            for name, one in defined.of("AWS::Events::Rule").items()
            if one["Description"] == f"Containers of {id} that have stopped"
        ]
        found = statements(made["Attributes"]["Policy"])
        sent = {"aws_SourceArn": f"<{rules[0]}.Arn>", "aws_SecureTransport": "true"}
        assert allows(found, "sqs:SendMessage", queue_arn(made["Name"]), EVENTS, **sent)


def test_every_rule_may_send_to_its_queues(whole: Any) -> None:
    """The platform's queues are in the template; those of functions are asserted above."""
    policies = [
        (resolved(policy["Queues"]), statements(policy["PolicyDocument"]))
        for policy in whole.of("AWS::SQS::QueuePolicy").values()
    ]
    for name, rule in whole.of("AWS::Events::Rule").items():
        for target in rule["Targets"]:
            for arn in (target["Arn"], target.get("DeadLetterConfig", {}).get("Arn")):
                if not isinstance(arn, dict) or "Fn::GetAtt" not in arn or "Queue" not in arn["Fn::GetAtt"][0]:
                    continue
                queue = arn["Fn::GetAtt"][0]
                (found,) = [one for queues, one in policies if f"<{queue}>" in queues]
                sent = {"aws_SourceArn": f"<{name}.Arn>", "aws_SecureTransport": "true"}
                assert allows(found, "sqs:SendMessage", f"<{queue}.Arn>", EVENTS, **sent), (name, queue)


def test_alarms_reach_the_topic_and_its_key(whole: Any) -> None:
    (topic,), (key,) = whole.of("AWS::SNS::Topic"), whole.of("AWS::KMS::Key")
    assert whole.of("AWS::SNS::Topic")[topic]["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    (policy,) = whole.of("AWS::SNS::TopicPolicy").values()
    published, keys = statements(policy["PolicyDocument"]), statements(whole.of("AWS::KMS::Key")[key]["KeyPolicy"])
    alarm = f"arn:aws:cloudwatch:{HERE}:alarm:Whole-x"
    ours = {"aws_SourceArn": alarm, "aws_SourceAccount": ACCOUNT, "aws_SecureTransport": "true"}
    theirs = {**ours, "aws_SourceAccount": "999999999999", "aws_SourceArn": alarm.replace(ACCOUNT, "999999999999")}
    assert allows(published, "sns:Publish", f"<{topic}>", CLOUDWATCH, **ours)
    assert not allows(published, "sns:Publish", f"<{topic}>", CLOUDWATCH, **theirs)
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert allows(keys, action, "*", CLOUDWATCH, **ours)
        assert not allows(keys, action, "*", CLOUDWATCH, **theirs)


def test_lambda_and_api_permissions_name_their_source(whole: Any) -> None:
    for name, one in whole.of("AWS::Lambda::Permission").items():
        assert one["Principal"] in {
            *("apigateway.amazonaws.com", "events.amazonaws.com", "secretsmanager.amazonaws.com"),
        }
        assert one["SourceArn"], name


def test_what_says_that_it_is_ours_comes_from_the_deployments_roles(whole: Any) -> None:
    (bus,) = whole.of("AWS::Events::EventBus").values()
    given = {**bus["Policy"], "Effect": "Allow"}  # turned round: whom the denial concerns
    denied = [resolved(given)]
    arn = f"arn:aws:events:{HERE}:event-bus/tidemill-prod"
    anyone = {"AWS": "anybody"}
    assert bus["Policy"]["Effect"] == "Deny"
    assert allows(denied, "events:PutEvents", arn, anyone, events_source="tidemill")
    assert not allows(denied, "events:PutEvents", arn, anyone, events_source="shop.orders")
    marked = {"aws_PrincipalTag/tidemill:deployment": "prod"}
    assert not allows(denied, "events:PutEvents", arn, anyone, events_source="tidemill", **marked)
    other = {"aws_PrincipalTag/tidemill:deployment": "staging"}
    assert allows(denied, "events:PutEvents", arn, anyone, events_source="tidemill", **other)


def test_whoever_may_put_events_carries_the_mark(whole: Any, defined: Any, joined: Any) -> None:
    for template in (whole, defined, joined):
        for name, role in template.of("AWS::IAM::Role").items():
            if any("events:PutEvents" in each(one["Action"]) for one in role_statements(template, name)):
                assert {"Key": "tidemill:deployment", "Value": "prod"} in role["Tags"], name


# --- what roles may do -------------------------------------------------------------------------------------


def role_of(template: Any, handler: str) -> str:
    """The logical id of the role of the Lambda with this handler, or this description."""
    (role,) = {
        one["Role"]["Fn::GetAtt"][0]
        for one in template.of("AWS::Lambda::Function").values()
        if handler in (one["Handler"], one.get("Description"))
    }
    return str(role)


def platform(what: str) -> str:
    return f"tidemill_lambdas.{what}.entry.handler"


def test_what_no_story_is_sure_to_use_is_allowed(whole: Any) -> None:
    """Each right that the emulated account cannot show: those that its test excuses, and those of AWS's services."""
    scheduler = next(
        name
        for name, one in whole.of("AWS::IAM::Role").items()
        if "scheduler" in json.dumps(one["AssumeRolePolicyDocument"])
    )
    sends = role_statements(whole, scheduler)
    assert allows(sends, "sqs:SendMessage", queue_arn("tidemill-prod-shop__daily"))  # cron
    (timers,) = [
        name for name, one in whole.of("AWS::SQS::Queue").items() if one.get("QueueName") == "tidemill-prod_timers"
    ]
    assert allows(sends, "sqs:SendMessage", f"<{timers}.Arn>")  # one-shot schedules
    assert not allows(sends, "sqs:ReceiveMessage", f"<{timers}.Arn>")

    events = role_statements(whole, role_of(whole, platform("events")))
    (queue,) = [
        source["EventSourceArn"]["Fn::GetAtt"][0]
        for source in whole.of("AWS::Lambda::EventSourceMapping").values()
        if "Events" in json.dumps(source["FunctionName"])
    ]
    assert allows(events, "sqs:SendMessage", f"<{queue}.Arn>")  # an event of many waits goes on in a message
    sweeper = role_statements(whole, role_of(whole, platform("sweeper")))
    assert allows(sweeper, "sqs:SendMessage", f"<{queue}.Arn>")  # a delayed event takes effect
    for what, handler in (
        ("events", platform("events")), ("api", platform("api")), ("sweeper", platform("sweeper")), ("app", "The shop"),
    ):  # fmt: skip
        found = role_statements(whole, role_of(whole, handler))
        schedule = f"arn:aws:scheduler:{HERE}:schedule/tidemill-prod/run"
        for action in ("CreateSchedule", "UpdateSchedule", "DeleteSchedule"):
            assert allows(found, f"scheduler:{action}", schedule), (what, action)
        role = f"arn:aws:iam::{ACCOUNT}:role/tidemill-prod-schedules-{REGION}"
        assert allows(found, "iam:PassRole", role, iam_PassedToService="scheduler.amazonaws.com"), what
        assert not allows(found, "iam:PassRole", role, iam_PassedToService="lambda.amazonaws.com"), what
        assert allows(found, "s3:ListBucket", f"arn:aws:s3:::tidemill-prod-{ACCOUNT}-{REGION}"), what


POLLED = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility")


def test_every_event_source_may_be_polled_by_its_lambdas_role(whole: Any, defined: Any, joined: Any) -> None:
    for template in (whole, defined, joined):
        lambdas = template.of("AWS::Lambda::Function")
        sources = template.of("AWS::Lambda::EventSourceMapping")
        assert sources
        for source in sources.values():
            role = lambdas[source["FunctionName"]["Ref"]]["Role"]["Fn::GetAtt"][0]
            for action in POLLED:
                found = role_statements(template, role)
                assert allows(found, action, resolved(source["EventSourceArn"])), (source, action)


def test_every_lambda_may_write_its_log_and_its_traces(whole: Any, defined: Any) -> None:
    for template in (whole, defined):
        for one in template.of("AWS::Lambda::Function").values():
            if "LoggingConfig" not in one or "LogGroup" not in one["LoggingConfig"]:
                continue  # the user's own
            found = role_statements(template, one["Role"]["Fn::GetAtt"][0])
            group = one["LoggingConfig"]["LogGroup"]["Ref"]
            for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
                assert allows(found, action, f"<{group}.Arn>")
            assert allows(found, "xray:PutTraceSegments", "*")


def test_an_app_receives_no_other_apps_messages(whole: Any) -> None:
    found = role_statements(whole, role_of(whole, "The shop"))
    for queue in ("tidemill-prod-shop__pack", "tidemill-prod-shop__large"):
        assert allows(found, "sqs:ReceiveMessage", queue_arn(queue))
    for queue in ("tidemill-prod-shop_x__pack-0123456789", "tidemill-prod-shop-x__a", "tidemill-prod-legacy"):
        assert not allows(found, "sqs:ReceiveMessage", queue_arn(queue))


def test_an_app_changes_no_declaration(whole: Any) -> None:
    app = role_statements(whole, role_of(whole, "The shop"))
    registry = role_statements(whole, role_of(whole, platform("registry")))
    for key in ("FUNCTIONS", "LISTENS#order/placed", "LISTENS*", "SCHEMAS", "SCHEMA#order/placed", "WEBHOOKS"):
        for action in ("dynamodb:PutItem", "dynamodb:DeleteItem"):
            assert not allows(app, action, TABLE, dynamodb_LeadingKeys=key)
            assert allows(registry, action, TABLE, dynamodb_LeadingKeys=key)
        assert allows(app, "dynamodb:Query", TABLE, dynamodb_LeadingKeys=key)
    assert allows(app, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys="RUN#01")


def test_the_registry_makes_queues_of_functions_and_no_others(whole: Any) -> None:
    found = role_statements(whole, role_of(whole, platform("registry")))
    for action in ("GetQueueUrl", "CreateQueue", "SetQueueAttributes", "DeleteQueue", "ReceiveMessage", "SendMessage"):
        assert allows(found, f"sqs:{action}", queue_arn("tidemill-prod-shop__pack-dead"))
        assert not allows(found, f"sqs:{action}", queue_arn("tidemill-prod_timers"))
        assert not allows(found, f"sqs:{action}", queue_arn("tidemill-staging-shop__pack"))


def test_secrets_are_read_by_those_who_check_them(whole: Any) -> None:
    secrets = {one["Name"]: f"<{name}>" for name, one in whole.of("AWS::SecretsManager::Secret").items()}
    readers = {"ingest": "tidemill/prod/event-keys", "api": "tidemill/prod/api-keys"}
    for what, own in readers.items():
        found = role_statements(whole, role_of(whole, platform(what)))
        for name, secret in secrets.items():
            assert allows(found, "secretsmanager:GetSecretValue", secret) == (name == own)
    keys = role_statements(whole, role_of(whole, platform("keys")))
    for secret in secrets.values():
        for action in ("DescribeSecret", "GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"):
            assert allows(keys, f"secretsmanager:{action}", secret)


def test_the_api_reads_the_logs_of_this_deployments_apps_and_no_others(whole: Any) -> None:
    (statement,) = [
        one
        for policy in whole.of("AWS::IAM::Policy").values()
        for one in policy["PolicyDocument"]["Statement"]
        if one["Action"] == "logs:FilterLogEvents"
    ]
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/tidemill:logs": "prod"}}
    groups = whole.of("AWS::Logs::LogGroup")
    marked = {
        name for name, group in groups.items() if {"Key": "tidemill:logs", "Value": "prod"} in group.get("Tags", ())
    }
    declared = {one["LogGroup"]["Ref"] for one in whole.of("Custom::TidemillFunction").values() if "LogGroup" in one}
    assert marked == declared
    assert declared


def test_the_door_for_events_reads_what_is_declared_and_the_secrets_of_webhooks(whole: Any) -> None:
    found = role_statements(whole, role_of(whole, platform("ingest")))
    for key in ("WEBHOOKS", "SCHEMAS", "SCHEMA#a", "LISTENS#a", "FUNCTIONS"):
        assert allows(found, "dynamodb:GetItem", TABLE, dynamodb_LeadingKeys=key)
        assert not allows(found, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys=key)
    assert allows(found, "dynamodb:PutItem", TABLE, dynamodb_LeadingKeys="REJECTED#a")
    for key in ("RUN#1", "EVENT#1", "FLOW#a"):
        for action in ("GetItem", "Query", "PutItem"):
            assert not allows(found, f"dynamodb:{action}", TABLE, dynamodb_LeadingKeys=key)
    secret = f"arn:aws:secretsmanager:{HERE}:secret:"
    assert allows(found, "secretsmanager:GetSecretValue", f"{secret}stripe-a1b2c3")
    assert not allows(found, "secretsmanager:GetSecretValue", f"{secret}stripes-a1b2c3")
    (webhook,) = whole.of("Custom::TidemillWebhook").values()
    spec = json.loads(resolved(webhook["Webhook"]))
    assert (spec["name"], spec["scheme"], spec["secret"]) == ("stripe", "stripe", f"{secret}stripe")
