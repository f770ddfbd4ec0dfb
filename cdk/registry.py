"""The registry: at each deployment a small Lambda writes one item a function, so that engine and API know it."""

from __future__ import annotations

from constructs import Construct

from tidemill_cdk.permissions import consume, engine
from tidemill_cdk.platform_lambda import Platform, PlatformLambda


class Registry(Construct):
    """Answers the custom resources `Custom::TidemillFunction`, in this stack and in those that import the mill."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform) -> None:
        super().__init__(scope, id)
        self.lambda_ = PlatformLambda(
            self,
            "Writer",
            platform=platform,
            what="registry",
            description="Writes what functions declare into the table when they are deployed",
            allows=[
                *engine(platform.names, lists=True),
                consume(platform.names.function_queues_arn, "The queue of whichever function leaves, by prefix."),
            ],
            timeout=60,
        )
