"""The layer with the executor, for the platform's Lambdas and all apps."""

from __future__ import annotations

from aws_cdk import Annotations
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from tidemill_cdk.bundles.assets import code, layer_recipe, own_bundle
from tidemill_cdk.bundles.bytecode import interpreter
from tidemill_cdk.names import Names
from tidemill_cdk.resources.platform_lambda import architecture, runtime
from tidemill_cdk.resources.removal import removal
from tidemill_cdk.settings import Settings


class Layer(Construct):
    """The layer's version, and the SSM parameter in which stacks of other repositories find its ARN."""

    def __init__(self, scope: Construct, id: str, *, names: Names, settings: Settings) -> None:
        super().__init__(scope, id)
        if interpreter(settings.python) is None:
            Annotations.of(self).add_warning_v2(
                "tidemill:bytecode",
                f"there is no Python {settings.python} on this machine to compile the layer with, so every cold start"
                " compiles it again (about 250 ms); install it, or set tidemill:python to the one that runs this",
            )
        self.version = lambda_.LayerVersion(
            self,
            "Version",
            layer_version_name=names.prefix,
            description=f"Tidemill's executor for Python {settings.python} on {settings.architecture}",
            code=code(own_bundle(layer_recipe(settings))),
            compatible_runtimes=[runtime(settings)],
            compatible_architectures=[architecture(settings)],
            # A Lambda of another stack may still use it, and a rollback needs it.
            removal_policy=removal(settings),
        )
        ssm.StringParameter(
            self,
            "Parameter",
            parameter_name=names.layer_parameter(settings.python, settings.architecture),
            description="The ARN of the layer, for apps deployed from other repositories",
            string_value=self.version.layer_version_arn,
        )
