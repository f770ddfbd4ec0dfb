"""What `add_definitions` makes of a folder: two functions, with steps of every kind (tests/cdk/apps/graphs)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cdk.conftest import pattern_of, queues_of
from cdk.policies import each, statements

from tidemill.aws.runtimes import fargate, lambda_
from tidemill.aws.settings import queue_name, step_name
from tidemill_cdk.apps import steps, tasks

MIB = 1024 * 1024
SMS, CRM = step_name("prod", "signup", "sms"), step_name("prod", "signup", "crm")
QUICK = "arn:aws:lambda:us-east-1:111122223333:function:quick"
SLOW = "arn:aws:lambda:us-east-1:111122223333:function:slow"


def flat(value: Any) -> str:
    """An ARN or URL of a template, on one line; what is known at the deployment alone is its name."""
    if isinstance(value, str):
        return value
    if "Fn::Join" in value:
        return "".join(map(flat, value["Fn::Join"][1]))
    if "Fn::GetAtt" in value:
        return ".".join(value["Fn::GetAtt"])
    return str(value.get("Ref") or value.get("Fn::Sub"))


def allowed(template: Any, role: str) -> dict[str, list[dict[str, Any]]]:
    """By action, the statements of all policies of the role whose logical id contains this."""
    found: dict[str, list[dict[str, Any]]] = {}
    policies = [*template.of("AWS::IAM::Policy").values(), *template.of("AWS::IAM::ManagedPolicy").values()]
    for policy in policies:
        if not any(role in flat(one) for one in policy["Roles"]):
            continue
        for statement in policy["PolicyDocument"]["Statement"]:
            if statement["Effect"] == "Deny":
                continue
            actions = statement["Action"]
            for action in [actions] if isinstance(actions, str) else actions:
                resources = statement["Resource"]
                where = [flat(one) for one in (resources if isinstance(resources, list) else [resources])]
                found.setdefault(action, []).append({**statement, "Resource": where})
    return found


def executors(template: Any) -> dict[str, Any]:
    (found,) = [
        one for one in template.of("AWS::Lambda::Function").values()
        if "TIDEMILL_DEFINITIONS" in one.get("Environment", {}).get("Variables", {})
    ]  # fmt: skip
    return dict(found)


def role_of_the_executor(template: Any) -> str:
    role: str = executors(template)["Role"]["Fn::GetAtt"][0]
    return role


# --- the functions ---------------------------------------------------------------------------------------


def test_each_function_has_what_an_apps_function_has(defined: Any) -> None:
    for id in ("signup", "theirs"):
        queue = queues_of(defined, id)["Attributes"]
        assert queue["VisibilityTimeout"] == str(90 + 15)
        assert json.loads(queue["RedrivePolicy"])["maxReceiveCount"] == 500
    items = [json.loads(one["Function"]) for one in defined.of("Custom::TidemillFunction").values()]
    assert sorted(one["id"] for one in items) == ["signup", "theirs"]
    assert len(defined.of("AWS::Lambda::EventSourceMapping")) == 2
    (schedule,) = defined.of("AWS::Scheduler::Schedule").values()
    assert schedule["ScheduleExpression"] == "cron(0 9 * * ? *)"
    patterns = {one["Description"]: pattern_of(one) for one in defined.of("AWS::Events::Rule").values()}
    assert patterns["Starts signup"]["detail"] == {"name": ["user/signed.up"], "data": {"plan": ["pro"]}}


def test_one_executor_with_the_layer_runs_them_all(defined: Any, synthesized: Path) -> None:
    found = executors(defined)
    assert (found["Handler"], found["MemorySize"]) == ("tidemill.aws.function.entry.handler", 768)
    assert found["Timeout"] == 90  # its longest step in process has 60 s, the module's
    assert len(found["Layers"]) == 2  # ours, and WebAssembly's
    with zipfile.ZipFile(asset(synthesized, found)) as archive:
        written = json.loads(archive.read("definitions.json"))
        modules = [name for name in archive.namelist() if name.startswith("modules/")]
    assert [one["spec"]["id"] for one in written] == ["signup", "theirs"]
    assert {one["folder"] for one in written} == {"."}
    assert modules == [step["path"] for one in written for step in one["steps"] if step["runtime"]["type"] == "wasm"]


def asset(synthesized: Path, function: dict[str, Any]) -> Path:
    return synthesized / f"asset.{function['Code']['S3Key']}"


def test_webassembly_comes_in_a_layer_of_its_own(defined: Any, fewer: Any, inside: Any, synthesized: Path) -> None:
    (layer,) = defined.of("AWS::Lambda::LayerVersion").values()
    path = synthesized / f"asset.{layer['Content']['S3Key']}"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert any(name.startswith("python/wasmtime/") for name in names)
    assert not any(name.startswith("python/tidemill") for name in names)
    assert path.stat().st_size < 15 * MIB
    assert fewer.of("AWS::Lambda::LayerVersion") == {}
    assert len(executors(fewer)["Layers"]) == 1
    assert (executors(fewer)["MemorySize"], executors(inside)["MemorySize"]) == (256, 512)


def test_what_is_not_needed_is_not_made(fewer: Any) -> None:
    kinds = {one["Type"] for one in fewer.resources.values()}
    assert not any(kind.startswith(("AWS::ECS", "AWS::EC2", "AWS::SecretsManager")) for kind in kinds)
    assert not {"secretsmanager:GetSecretValue", "ecs:RunTask", "logs:GetLogEvents"} & set(
        allowed(fewer, role_of_the_executor(fewer))
    )


# --- steps that are Lambdas ------------------------------------------------------------------------------


def test_a_folder_is_a_lambda_under_the_wrapper(defined: Any, synthesized: Path) -> None:
    found = defined.named("AWS::Lambda::Function", "FunctionName", CRM)
    assert found["Handler"] == "tidemill.aws.runtimes.step_handler.handler"
    assert (found["MemorySize"], found["Timeout"], len(found["Layers"])) == (256, 90, 1)
    assert found["Environment"]["Variables"] == {"REGION_OF_SALE": "eu", "TIDEMILL_STEP_HANDLER": "handler.handler"}
    assert found["RecursiveLoop"] == "Allow"
    with zipfile.ZipFile(asset(synthesized, found)) as archive:
        assert "handler.py" in archive.namelist()
    rights = allowed(defined, found["Role"]["Fn::GetAtt"][0])
    assert set(rights) == {
        *("logs:CreateLogStream", "logs:PutLogEvents", "xray:PutTraceSegments", "xray:PutTelemetryRecords"),
        *("sqs:SendMessage", "s3:GetObject", "s3:PutObject", "s3:ListBucket"),
    }
    assert rights["sqs:SendMessage"][0]["Resource"][0].endswith(":" + queue_name("prod", "signup"))


def test_a_step_without_a_timeout_has_lambdas_fifteen_minutes(fewer: Any) -> None:
    assert fewer.named("AWS::Lambda::Function", "FunctionName", CRM)["Timeout"] == lambda_.LONGEST // 1_000


def test_lambdas_of_others_tell_the_queue_unless_they_are_waited_for(defined: Any) -> None:
    (alias,) = defined.of("AWS::Lambda::Alias").values()
    assert (alias["FunctionName"], alias["FunctionVersion"]) == (SLOW, "$LATEST")
    (ends,) = defined.of("AWS::Lambda::EventInvokeConfig").values()
    assert (ends["FunctionName"], ends["Qualifier"]) == (SLOW, alias["Name"]) == (SLOW, queue_name("prod", "theirs"))
    assert ends["MaximumRetryAttempts"] == 0
    assert ends["MaximumEventAgeInSeconds"] == lambda_.QUEUED // 1_000
    for end in ("OnSuccess", "OnFailure"):
        where = flat(ends["DestinationConfig"][end]["Destination"])
        assert where.endswith(":" + queue_name("prod", "theirs"))


def test_only_lambdas_of_steps_and_those_that_are_named_may_be_invoked(defined: Any) -> None:
    rights = allowed(defined, role_of_the_executor(defined))["lambda:InvokeFunction"]
    named = {resource.rpartition("AWS::AccountId")[2] for one in rights for resource in one["Resource"]}
    assert named == {":function:tidemill-prod_*", QUICK, f"{SLOW}:{queue_name('prod', 'theirs')}"}
    assert CRM.startswith("tidemill-prod_")


def test_messages_are_received_from_the_queues_of_these_functions_alone(defined: Any) -> None:
    (right,) = allowed(defined, role_of_the_executor(defined))["sqs:ReceiveMessage"]
    queues = [resource.rpartition(":")[2] for resource in right["Resource"]]
    assert queues == [queue_name("prod", "signup"), queue_name("prod", "theirs")]


def test_the_signing_key_may_be_read_where_requests_are_signed(defined: Any) -> None:
    (secret,) = defined.of("AWS::SecretsManager::Secret")
    (right,) = allowed(defined, role_of_the_executor(defined))["secretsmanager:GetSecretValue"]
    assert right["Resource"] == [secret]
    assert flat(executors(defined)["Environment"]["Variables"]["TIDEMILL_SIGNING_KEY"]) == secret


# --- steps that are containers ---------------------------------------------------------------------------


def containers(template: Any, family: str) -> dict[str, dict[str, Any]]:
    definition = template.named("AWS::ECS::TaskDefinition", "Family", family)
    return {one["Name"]: one for one in definition["ContainerDefinitions"]}


def test_a_container_is_a_task_definition(defined: Any) -> None:
    definition = defined.named("AWS::ECS::TaskDefinition", "Family", SMS)
    assert (definition["Cpu"], definition["Memory"]) == ("512", "1024")
    assert definition["RequiresCompatibilities"] == ["FARGATE"]
    assert definition["RuntimePlatform"] == {"CpuArchitecture": "ARM64", "OperatingSystemFamily": "LINUX"}
    found = containers(defined, SMS)
    assert set(found) == {fargate.STEP, fargate.CLOCK, "router"}
    assert all(one["Essential"] for one in found.values())
    assert "container-assets" in flat(found["step"]["Image"])  # built of the step's folder
    assert found["step"]["Environment"] == [{"Name": "REGION_OF_SALE", "Value": "eu"}]
    other = containers(defined, step_name("prod", "theirs", "image"))
    assert other["step"]["Image"] == "public.ecr.aws/docker/library/busybox:1"


def test_a_containers_log_says_which_of_its_two_streams_a_line_is_of(defined: Any) -> None:
    found = containers(defined, SMS)
    log = found["step"]["LogConfiguration"]
    assert log["LogDriver"] == "awsfirelens"
    assert log["Options"]["log_group_name"] == executors(defined)["Environment"]["Variables"]["TIDEMILL_TASK_LOGS"]
    assert log["Options"]["log_stream_prefix"] == f"{SMS}/"
    assert "log_key" not in log["Options"]  # else the line alone would be kept
    assert found["router"]["FirelensConfiguration"]["Type"] == "fluentbit"


def test_the_images_beside_a_step_are_named_by_a_digest_that_nobody_can_move(defined: Any) -> None:
    found = containers(defined, SMS)
    for name in ("router", fargate.CLOCK):
        assert re.fullmatch(r"public\.ecr\.aws/[a-z/-]+@sha256:[0-9a-f]{64}", found[name]["Image"])


def test_a_clock_ends_a_task_whose_time_is_up(defined: Any) -> None:
    clock = containers(defined, SMS)[fargate.CLOCK]
    assert (clock["EntryPoint"], clock["Command"]) == (["sleep"], ["600"])
    assert clock["LinuxParameters"]["InitProcessEnabled"] is True  # or it would not hear that it is to end
    other = containers(defined, step_name("prod", "theirs", "image"))[fargate.CLOCK]
    assert other["Command"] == [str(fargate.LONGEST // 1_000)]


def test_the_queue_is_told_when_a_task_has_stopped(defined: Any) -> None:
    (cluster,) = defined.of("AWS::ECS::Cluster")
    for id in ("signup", "theirs"):
        rule = defined.named("AWS::Events::Rule", "Description", f"Containers of {id} that have stopped")
        assert "EventBusName" not in rule  # AWS's services send to the default bus
        assert rule["EventPattern"] == {
            "source": ["aws.ecs"],
            "detail-type": ["ECS Task State Change"],
            "detail": {
                "clusterArn": [{"Fn::GetAtt": [cluster, "Arn"]}],
                "lastStatus": ["STOPPED"],
                "group": [queue_name("prod", id)],
            },
        }
        (target,) = rule["Targets"]
        assert target["DeadLetterConfig"]


def test_only_tasks_of_this_cluster_may_be_run_and_only_its_log_read(defined: Any) -> None:
    rights = allowed(defined, role_of_the_executor(defined))
    (cluster,) = defined.of("AWS::ECS::Cluster")
    (run,) = rights["ecs:RunTask"]
    assert [one.rpartition("task-definition/")[2] for one in run["Resource"]] == ["tidemill-prod_*:*"]
    assert all(family.startswith("tidemill-prod_") for family in (SMS, step_name("prod", "theirs", "image")))
    assert run["Condition"] == {"ArnEquals": {"ecs:cluster": {"Fn::GetAtt": [cluster, "Arn"]}}}
    (logs,) = rights["logs:GetLogEvents"]
    group = flat(executors(defined)["Environment"]["Variables"]["TIDEMILL_TASK_LOGS"])
    assert group in defined.of("AWS::Logs::LogGroup")
    assert [one.rpartition("log-group:")[2] for one in logs["Resource"]] == [f"{group}:log-stream:*"]


def test_only_the_roles_of_this_folders_containers_may_be_passed_and_only_to_ecs(defined: Any) -> None:
    passed = allowed(defined, role_of_the_executor(defined))["iam:PassRole"]
    to = {one["Condition"]["StringEquals"]["iam:PassedToService"]: one["Resource"] for one in passed}
    assert set(to) == {"ecs-tasks.amazonaws.com", "scheduler.amazonaws.com"}
    assert [one.rpartition(":")[2] for one in to["ecs-tasks.amazonaws.com"]] == ["role/tidemill/prod/graphs/*"]
    roles = {role for one in defined.of("AWS::ECS::TaskDefinition").values() for role in task_roles(one)}
    assert len(roles) == 3  # one for each step's program, and one that starts them all
    for role in roles:
        assert defined.of("AWS::IAM::Role")[role.removesuffix(".Arn")]["Path"] == "/tidemill/prod/graphs/"


def task_roles(definition: dict[str, Any]) -> set[str]:
    return {flat(definition["TaskRoleArn"]), flat(definition["ExecutionRoleArn"])}


def test_a_containers_program_may_write_its_log_and_nothing_else(defined: Any) -> None:
    definition = defined.named("AWS::ECS::TaskDefinition", "Family", SMS)
    rights = allowed(defined, definition["TaskRoleArn"]["Fn::GetAtt"][0])
    assert set(rights) == {"logs:CreateLogStream", "logs:PutLogEvents"}


def test_containers_have_a_small_network_of_their_own(defined: Any) -> None:
    assert len(defined.of("AWS::EC2::Subnet")) == 2
    assert defined.of("AWS::EC2::NatGateway") == {}
    (group,) = defined.of("AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group
    told = executors(defined)["Environment"]["Variables"]
    assert told["TIDEMILL_PUBLIC_IP"] == "true"
    assert "VpcConfig" not in executors(defined)


def test_in_a_network_of_the_users_own_everything_is_inside(inside: Any) -> None:
    assert len(inside.of("AWS::EC2::VPC")) == 1
    found = executors(inside)
    assert found["VpcConfig"]["SubnetIds"]
    assert found["Environment"]["Variables"]["TIDEMILL_PUBLIC_IP"] == "false"
    assert "PrivateSubnet" in flat(found["Environment"]["Variables"]["TIDEMILL_SUBNETS"])
    assert inside.named("AWS::Lambda::Function", "FunctionName", CRM)["VpcConfig"]["SubnetIds"]


# --- what a deployment changes ---------------------------------------------------------------------------


def test_a_new_definition_changes_only_its_own_resources(fewer: Any, more: Any) -> None:
    added = set(more.resources) - set(fewer.resources)
    assert set(fewer.resources) - set(more.resources) == set()
    assert all("thank" in name.lower() for name in added)
    assert "AWS::Lambda::Function" in {more.resources[name]["Type"] for name in added}  # its step
    changed = [name for name, one in fewer.resources.items() if more.resources[name] != one]
    (policy,) = [name for name in changed if fewer.resources[name]["Type"] == "AWS::IAM::ManagedPolicy"]
    before, after = (statements(one.of("AWS::IAM::ManagedPolicy")[policy]["PolicyDocument"]) for one in (fewer, more))
    assert before[0]["Resource"] in list(each(after[0]["Resource"]))
    (executor,) = [name for name in changed if name != policy]
    old, new = fewer.resources[executor], more.resources[executor]
    assert "TIDEMILL_DEFINITIONS" in old["Properties"]["Environment"]["Variables"]
    for one in (old, new):  # the file that it reads has changed, and nothing else
        one["Properties"].pop("Code")
        one.pop("Metadata", None)
    assert old == new


def test_the_constructs_and_the_engine_mean_the_same() -> None:
    assert (tasks.STEP, tasks.CLOCK) == (fargate.STEP, fargate.CLOCK)
    assert tasks._LONGEST * 1_000 == fargate.LONGEST
    assert (steps._WAITED, steps._QUEUED * 1_000) == (lambda_.WAIT, lambda_.QUEUED)
    assert steps._LONGEST * 1_000 == lambda_.LONGEST


SCRIPT = """
import json, sys
from pathlib import Path
from tidemill_cdk import DeployError, Settings, Tidemill
from aws_cdk import App, Stack

def deploy(step, timeout):
    step = {"runtime": step} | ({"timeout": timeout} if timeout else {})
    folder = Path(sys.argv[1])
    (folder / "f.function.json").write_text(
        json.dumps({"name": "f", "id": "f", "triggers": [{"event": "a"}], "steps": {"s": step}})
    )
    Tidemill.import_(Stack(App(), "Stack"), "Mill", name="prod").add_definitions(folder, id="F")

ARN = "arn:aws:lambda:us-east-1:111122223333:function:f:live"
for step, timeout in (({"type": "lambda", "arn": ARN}, None), ({"type": "http", "url": "https://e.com"}, "15m"),
                      ({"type": "nothing"}, None)):
    try:
        deploy(step, timeout)
    except DeployError as error:
        print(str(error).replace(chr(10), " "))
"""


def test_what_cannot_be_deployed_is_told(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alias, long, wrong = done.stdout.splitlines()
    assert "'s' names a version or an alias" in alias
    assert "may take 900 s, and one of its kind 870 s at most" in long
    assert "steps.s.runtime" in wrong


@pytest.mark.parametrize("kind", ["AWS::Logs::LogGroup", "AWS::SecretsManager::Secret"])
def test_data_outlives_the_stack(defined: Any, kind: str) -> None:
    found = [one for one in defined.resources.values() if one["Type"] == kind]
    assert found
    assert {one["DeletionPolicy"] for one in found} == {"RetainExceptOnCreate"}
