"""Event keys (for sending) and API keys (for reading and acting): created at deployment and rotated with an overlap."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from tidemill_cdk.checks.nag import justified
from tidemill_cdk.resources.permissions import Allow
from tidemill_cdk.resources.platform_lambda import Platform, PlatformLambda
from tidemill_cdk.resources.removal import removal
from tidemill_cdk.settings import Settings

KEY = "Secrets Manager encrypts it by its own key; who may read it is said by IAM alone."
_CHARS = 48  # letters and digits: 285 bits, without quoting in a path


class Keys(Construct):
    """Two secrets and the Lambda that rotates them. Readers accept the current value and the one before it."""

    def __init__(self, scope: Construct, id: str, *, platform: Platform) -> None:
        super().__init__(scope, id)
        names, settings = platform.names, platform.settings
        self.event_keys = _secret(self, "EventKeys", names.secret("event-keys"), settings)
        self.api_keys = _secret(self, "ApiKeys", names.secret("api-keys"), settings)
        secrets = (self.event_keys, self.api_keys)
        rotation = PlatformLambda(
            self,
            "Rotation",
            platform=platform,
            what="keys",
            description="Puts a new key beside the old one",
            allows=[
                Allow(
                    (
                        *("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"),
                        *("secretsmanager:PutSecretValue", "secretsmanager:UpdateSecretVersionStage"),
                    ),
                    tuple(secret.secret_arn for secret in secrets),
                ),
            ],
        )
        for secret in secrets:
            rotation.function.add_permission(
                f"From{secret.node.id}",
                principal=iam.ServicePrincipal("secretsmanager.amazonaws.com"),
                source_arn=secret.secret_arn,
            )
            schedule = secretsmanager.CfnRotationSchedule(
                secret,
                "Every",
                secret_id=secret.secret_arn,
                rotation_lambda_arn=rotation.function.function_arn,
                rotate_immediately_on_update=False,  # the first key lives its full time, too
                rotation_rules=secretsmanager.CfnRotationSchedule.RotationRulesProperty(
                    automatically_after_days=settings.key_days
                ),
            )
            schedule.node.add_dependency(rotation)


def _secret(scope: Construct, id: str, name: str, settings: Settings) -> secretsmanager.Secret:
    secret = secretsmanager.Secret(
        scope,
        id,
        secret_name=name,
        generate_secret_string=secretsmanager.SecretStringGenerator(
            password_length=_CHARS, exclude_punctuation=True, include_space=False
        ),
        removal_policy=removal(settings),
    )
    justified(secret, {"CKV_AWS_149": KEY})
    return secret
