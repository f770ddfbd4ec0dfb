"""The removal policy of resources with data, when their stack is deleted or its creation fails."""

from __future__ import annotations

from aws_cdk import RemovalPolicy

from tidemill_cdk.settings import Settings


def removal(settings: Settings) -> RemovalPolicy:
    """Kept, except when the first deployment fails: so it can be repeated with the same names."""
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if settings.removal == "retain" else RemovalPolicy.DESTROY
