"""The registry's Lambda: at each deployment it makes the functions' queues, and writes their specs into the table."""

from __future__ import annotations

from aws_cdk import aws_ssm as ssm
from constructs import Construct

from tidemill_cdk.resources.permissions import Allow, engine
from tidemill_cdk.resources.platform_lambda import Platform, PlatformLambda

_TIMEOUT = 300  # seconds: a queue's name is free a minute after the last queue of that name was deleted


class Registry(Construct):
    """Answers the custom resources `Custom::TidemillFunction`, in this stack and in those that import it."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform) -> None:
        super().__init__(scope, id)
        self.lambda_ = PlatformLambda(
            self,
            "Writer",
            platform=platform,
            what="registry",
            description="Makes the queues of functions and registers what they declare, when they are deployed",
            allows=[
                *engine(platform.names, lists=True, declares=True),  # the queued events of a removed function
                Allow(
                    (
                        *("sqs:GetQueueUrl", "sqs:CreateQueue", "sqs:SetQueueAttributes", "sqs:DeleteQueue"),
                        *("sqs:ReceiveMessage", "sqs:DeleteMessage"),
                    ),
                    (platform.names.function_queues_arn,),
                    "It makes every function's queues, and empties those of functions that are gone.",
                ),
            ],
            timeout=_TIMEOUT,
        )
        self.token = self.lambda_.function.function_arn
        ssm.StringParameter(
            self,
            "Parameter",
            parameter_name=platform.names.registry_parameter,
            description="The ARN of the Lambda that registers functions, for apps deployed from other repositories",
            string_value=self.token,
        )
