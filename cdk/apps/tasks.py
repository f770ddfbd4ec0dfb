"""Constructs for steps that are containers: one cluster and network per folder, a task definition for each step.

A task has three containers: the step's; a router, which marks each log line with its stream (see
tidemill.aws.runtimes.task_log); and a clock, which ends the task at the step's timeout. The latter two use the same
small image. None of this costs anything while no task runs.
"""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from functools import cached_property
from typing import Any

from aws_cdk import Annotations, Duration, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from tidemill.aws.settings import dead_letter_name, queue_name
from tidemill_cdk.apps.steps import Room
from tidemill_cdk.bundles.sources import BUILT_IN
from tidemill_cdk.checks.nag import accepted, justified, wildcard
from tidemill_cdk.resources.permissions import Allow, grant
from tidemill_cdk.resources.platform_lambda import log_group
from tidemill_cdk.wiring import Wiring

STEP, CLOCK = "step", "clock"  # the same names as in tidemill.aws.runtimes.fargate
_LONGEST = 86_400  # seconds of a step without a timeout
_GRACE = 2  # seconds for the clock to end


class Tasks(Construct):
    """The resources that the tasks of a folder share: cluster, network and log."""

    def __init__(self, scope: Construct, id: str, *, wiring: Wiring, name: str, vpc: ec2.IVpc | None) -> None:
        super().__init__(scope, id)
        self._given, self._names = vpc, wiring.names
        self._folder = "".join(sign for sign in name if sign.isalnum()) or "definitions"
        self.log = log_group(self, wiring.settings)
        self.path = wiring.names.task_path(self._folder)
        self.execution_role = iam.Role(
            self, "Execution", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"), path=self.path
        )
        wildcard(self.execution_role, "*", "ecr:GetAuthorizationToken knows no resources.")
        self.vpc: ec2.IVpc = vpc or self._own()
        self.cluster = ecs.Cluster(self, "Cluster", vpc=self.vpc)
        insights = "Container Insights costs more than small tasks do; a step's times are in its run."
        accepted(self.cluster, "AwsSolutions-ECS4", insights)
        justified(self.cluster, {"CKV_AWS_65": insights})
        if "@sha256:" not in wiring.settings.router_image:
            Annotations.of(self).add_warning_v2(
                "tidemill:router_image",
                f"the image beside steps in containers, {wiring.settings.router_image}, is named by a tag, which its"
                " owner may move; set tidemill:router_image to <image>@sha256:<digest> (docker buildx imagetools"
                " inspect tells the digest)",
            )
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=self.vpc, description="Steps that are containers: nothing comes in"
        )

    def environment(self) -> dict[str, str]:
        """The executor's environment variables for tasks."""
        return {
            "TIDEMILL_CLUSTER": self.cluster.cluster_arn,
            "TIDEMILL_SUBNETS": ",".join(self._subnets.subnet_ids),
            "TIDEMILL_SECURITY_GROUPS": self.security_group.security_group_id,
            "TIDEMILL_PUBLIC_IP": "true" if self._public else "false",
            "TIDEMILL_TASK_LOGS": self.log.log_group_name,
        }

    def allows(self) -> list[Allow]:
        """The executor's permissions: run tasks, and read their output."""
        names = self._names
        families = names.arn("ecs", f"task-definition/{names.prefix}_*:*")
        streams = names.arn("logs", f"log-group:{self.log.log_group_name}:log-stream:*")
        return [
            Allow(
                ("ecs:RunTask",),
                (families,),
                "The families of this deployment's steps: a list would outgrow the role. Only in the folder's cluster.",
                {"ArnEquals": {"ecs:cluster": self.cluster.cluster_arn}},
            ),
            Allow(
                ("iam:PassRole",),
                (names.task_roles_arn(self._folder),),
                "The roles of this folder's containers, by their path.",
                {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
            ),
            Allow(("logs:GetLogEvents",), (streams,), "A stream for each task of this folder's steps."),
        ]

    def tell(self, scope: Construct, function_id: str) -> events.Rule:
        """The rule that reports each stopped task of the function's steps to the function's queue."""
        names = self._names
        group = queue_name(names.deployment, function_id)  # the task's group names the function
        queue = sqs.Queue.from_queue_arn(scope, "Queue", names.arn("sqs", group))
        dead = sqs.Queue.from_queue_arn(
            scope, "Dead", names.arn("sqs", dead_letter_name(names.deployment, function_id))
        )
        return events.Rule(
            scope,
            "Stopped",
            description=f"Containers of {function_id} that have stopped"[:512],
            event_pattern=events.EventPattern(
                source=["aws.ecs"],
                detail_type=["ECS Task State Change"],
                detail={"clusterArn": [self.cluster.cluster_arn], "lastStatus": ["STOPPED"], "group": [group]},
            ),
            targets=[targets.SqsQueue(queue, dead_letter_queue=dead)],
        )

    @property
    def _public(self) -> bool:
        return self._given is None or not self._given.private_subnets

    @cached_property
    def _subnets(self) -> ec2.SelectedSubnets:
        kind = ec2.SubnetType.PUBLIC if self._public else ec2.SubnetType.PRIVATE_WITH_EGRESS
        return self.vpc.select_subnets(subnet_type=kind)

    def _own(self) -> ec2.Vpc:
        """Public subnets without a NAT: the only cost is a public address for each running task."""
        vpc = ec2.Vpc(
            self,
            "Network",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,  # it would add a Lambda for an unused security group
            subnet_configuration=[ec2.SubnetConfiguration(name="Tasks", subnet_type=ec2.SubnetType.PUBLIC)],
        )
        for subnet in vpc.public_subnets:  # each task requests its own address
            resource = subnet.node.default_child
            assert isinstance(resource, ec2.CfnSubnet)
            resource.map_public_ip_on_launch = False
        accepted(vpc, "AwsSolutions-VPC7", "Nothing listens in it; who wants flow logs brings a VPC that has them.")
        return vpc


class StepTask(Construct):
    """The task definition of a step: `definition`, and the `role` of its program, which can be granted more."""

    def __init__(self, scope: Construct, id: str, *, room: Room, step: dict[str, Any], tasks: Tasks) -> None:
        super().__init__(scope, id)
        names, self._name = room.wiring.names, room.name(step)
        service = iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        self.role = iam.Role(self, "Role", assumed_by=service, path=tasks.path)
        streams = names.arn("logs", f"log-group:{tasks.log.log_group_name}:log-stream:{self._name}/*")
        grant(
            self.role,
            [
                Allow(("logs:CreateLogStream",), (tasks.log.log_group_arn,)),
                Allow(("logs:PutLogEvents",), (streams,), "A stream for each task of this step."),
            ],
        )
        self.definition = self._definition(room, step, tasks)
        self._step(room, step, tasks)
        self._beside(step, tasks, room.wiring.settings.router_image)

    def _definition(self, room: Room, step: dict[str, Any], tasks: Tasks) -> ecs.FargateTaskDefinition:
        arm = room.wiring.settings.architecture == "arm64"
        return ecs.FargateTaskDefinition(
            self,
            "Definition",
            family=self._name,
            cpu=step["runtime"]["cpu"],
            memory_limit_mib=step["runtime"]["memory"],
            task_role=self.role,
            execution_role=tasks.execution_role,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64 if arm else ecs.CpuArchitecture.X86_64,
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
        )

    def _step(self, room: Room, step: dict[str, Any], tasks: Tasks) -> None:
        """The step's container, whose log goes to the router."""
        arm = room.wiring.settings.architecture == "arm64"
        if step["path"] is not None:
            asset = ecr_assets.DockerImageAsset(
                self,
                "Image",
                directory=str(room.folder(step)),
                exclude=list(BUILT_IN),  # in addition to .dockerignore
                platform=ecr_assets.Platform.LINUX_ARM64 if arm else ecr_assets.Platform.LINUX_AMD64,
            )
            image: ecs.ContainerImage = ecs.ContainerImage.from_docker_image_asset(asset)
        else:
            image = ecs.ContainerImage.from_registry(step["runtime"]["image"])
        self.definition.add_container(
            STEP,
            container_name=STEP,
            image=image,
            environment=room.environment or None,
            logging=ecs.FireLensLogDriver(
                options={
                    "Name": "cloudwatch_logs",
                    "region": Stack.of(self).region,
                    "log_group_name": tasks.log.log_group_name,
                    "log_stream_prefix": f"{self._name}/",
                    "auto_create_group": "false",
                }
            ),
        )
        if room.environment:
            reason = "What environment= is given is no secret; let `role` read a secret where there is one."
            accepted(self.definition, "AwsSolutions-ECS2", reason)

    def _beside(self, step: dict[str, Any], tasks: Tasks, router: str) -> None:
        """The router and the clock."""
        log = ecs.LogDriver.aws_logs(log_group=tasks.log, stream_prefix="beside")
        self.definition.add_firelens_log_router(
            "router",
            container_name="router",
            image=ecs.ContainerImage.from_registry(router),
            essential=True,
            memory_reservation_mib=50,
            firelens_config=ecs.FirelensConfig(
                type=ecs.FirelensLogRouterType.FLUENTBIT, options=ecs.FirelensOptions(enable_ecs_log_metadata=False)
            ),
            logging=log,
        )
        seconds = -(-step["timeout"] // 1_000) if step["timeout"] is not None else _LONGEST
        init = ecs.LinuxParameters(self, "Init", init_process_enabled=True)  # it passes SIGTERM on to sleep
        self.definition.add_container(
            CLOCK,
            container_name=CLOCK,
            image=ecs.ContainerImage.from_registry(router),
            entry_point=["sleep"],
            command=[str(seconds)],
            essential=True,
            linux_parameters=init,
            stop_timeout=Duration.seconds(_GRACE),
            logging=log,
        )
