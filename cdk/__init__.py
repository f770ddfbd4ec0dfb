"""The constructs: `from tidemill_cdk import Tidemill`."""

from tidemill_cdk import node

node.choose()  # before anything of aws_cdk is imported: that starts Node

from tidemill_cdk.mill import Mill, Tidemill  # noqa: E402
from tidemill_cdk.problems import DeployError  # noqa: E402
from tidemill_cdk.settings import Settings  # noqa: E402

__all__ = ["DeployError", "Mill", "Settings", "Tidemill"]
