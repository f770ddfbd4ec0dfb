"""The constructs: `from tidemill_cdk import Tidemill`.

Loaded when they are asked for, and after it is known which Node runs them: aws_cdk starts one when it is imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill_cdk.deployment import Mill, Tidemill
    from tidemill_cdk.problems import DeployError
    from tidemill_cdk.settings import Settings

__all__ = ["DeployError", "Mill", "Settings", "Tidemill"]

_PLACES = {"Mill": "deployment", "Tidemill": "deployment", "DeployError": "problems", "Settings": "settings"}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'tidemill_cdk' has no attribute {name!r}")
    from importlib import import_module

    from tidemill_cdk import node

    node.choose()
    return getattr(import_module(f"tidemill_cdk.{_PLACES[name]}"), name)
