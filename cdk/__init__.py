"""The CDK constructs that deploy Tidemill: `from tidemill_cdk import Tidemill`.

They are imported on first use, after the Node that runs them is chosen: importing aws_cdk starts one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill_cdk.deployment import Deployment, Tidemill
    from tidemill_cdk.problems import DeployError
    from tidemill_cdk.settings import Settings

__all__ = ["DeployError", "Deployment", "Settings", "Tidemill"]

_PLACES = {"Deployment": "deployment", "Tidemill": "deployment", "DeployError": "problems", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tidemill_cdk' has no attribute {name!r}")
    from importlib import import_module

    from tidemill_cdk import node

    node.choose()
    return getattr(import_module(f"tidemill_cdk.{_PLACES[name]}"), name)
