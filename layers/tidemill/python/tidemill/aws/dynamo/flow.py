"""The flow store on DynamoDB. docs/aws/flow-in-aws.md lists the cost of each operation, and tests count it."""

from __future__ import annotations

from tidemill.aws.dynamo import flow_usage
from tidemill.aws.dynamo.flow_concurrency import FlowPlaces
from tidemill.aws.dynamo.flow_starts import FlowStarts
from tidemill.aws.dynamo.table import Table
from tidemill.ports import Usage


class DynamoFlow(FlowPlaces, FlowStarts):
    """The port `FlowStore`."""

    def __init__(self, table: Table) -> None:
        FlowPlaces.__init__(self, table)
        FlowStarts.__init__(self, table)

    def usage(self, family: str, top: int) -> list[Usage]:
        return flow_usage.usage(self._table, family, top)

    def lines(self, family: str) -> list[tuple[str, str]]:
        return flow_usage.lines(self._table, family)
