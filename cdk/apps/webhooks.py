"""The webhooks of an app whose senders sign: told to the registry, and their secrets opened to the door for events."""

# jsii gives the parameters of its classes and of their protocols different names; mypy checks the arguments.
# pyright: reportArgumentType=false

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import CustomResource
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IDependable

from tidemill_cdk.problems import DeployError
from tidemill_cdk.resources.permissions import Allow

_UNNAMED = "-??????"  # what Secrets Manager puts after the name of a secret, where only the name is known


class Webhooks(Construct):
    """`declared`: as `tidemill manifest --all` gives them. `door`: the role of the Lambda that takes events in."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        declared: Sequence[Mapping[str, Any]],
        secrets: Mapping[str, secretsmanager.ISecret],
        door: iam.IRole,
        token: str,
        after: Sequence[IDependable],
    ) -> None:
        """Raises DeployError where a secret is missing."""
        super().__init__(scope, id)
        missing = sorted({str(one["secret"]) for one in declared} - set(secrets))
        if missing:
            names = ", ".join(f"webhook {one['name']!r}" for one in declared if one["secret"] in missing)
            raise DeployError(
                f"{names}: secrets= of add_app has no {', '.join(missing)}; give it the secret of the webhook's sender"
            )
        used = {name: secrets[name] for name in sorted({str(one["secret"]) for one in declared})}
        allow = Allow(("secretsmanager:GetSecretValue",), tuple(map(_exact, used.values())))
        policy = iam.Policy(self, "Secrets", roles=[door], statements=[allow.statement()])
        for secret in used.values():
            if secret.encryption_key is not None:
                secret.encryption_key.grant_decrypt(door)
        for one in declared:
            item = CustomResource(
                self,
                str(one["name"]),
                resource_type="Custom::TidemillWebhook",
                service_token=token,
                properties={"Webhook": json.dumps({**one, "secret": used[str(one["secret"])].secret_arn})},
            )
            item.node.add_dependency(policy, *after)  # nobody is sent away for want of a permission


def _exact(secret: secretsmanager.ISecret) -> str:
    return secret.secret_full_arn or f"{secret.secret_arn}{_UNNAMED}"
