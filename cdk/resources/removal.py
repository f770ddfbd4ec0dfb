"""What becomes of what holds data when its stack goes, or cannot be made."""

from __future__ import annotations

from aws_cdk import RemovalPolicy

from tidemill_cdk.settings import Settings


def removal(settings: Settings) -> RemovalPolicy:
    """Kept, but for a deployment that fails to make it: that can be repeated under the same names."""
    return RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE if settings.removal == "retain" else RemovalPolicy.DESTROY
