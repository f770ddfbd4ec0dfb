"""The stores of a Mill in moto."""

from __future__ import annotations

from support.doubles import Clock

from tidemill_local.testing import moto
from tidemill_local.testing.aws import InMoto


def test_closing_after_moto_was_reset_raises_nothing() -> None:
    client = moto.client()
    stores = InMoto(Clock(), client)
    client.call("dynamodb", "DeleteTable", {"TableName": stores._name})
    stores.close()
