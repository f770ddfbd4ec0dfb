"""An event with numbers that EventBridge cannot compare says so on the bus."""

from __future__ import annotations

import msgspec
import pytest

from tidemill.aws.messages.envelope import entry
from tidemill.model import Event


@pytest.mark.parametrize("number", [0, 18, -3, 0.25, 19.99, 5_000_000_000])
def test_comparable(number: float) -> None:
    assert "inexact" not in sent({"n": number})


@pytest.mark.parametrize("number", [0.1 + 0.2, 1e-9, 5_000_000_001, -6e9, 1e300])
def test_not_comparable(number: float) -> None:
    assert sent({"n": number})["inexact"] is True
    assert sent({"deep": [{"n": number}]})["inexact"] is True
    assert sent({}, user={"n": number})["inexact"] is True


def sent(data: dict[str, object], user: dict[str, object] | None = None) -> dict[str, object]:
    event = Event("id", "a", data, 1, 2, user=user)
    detail = entry(event, "bus")["Detail"]
    assert msgspec.json.decode(detail, type=Event) == event
    found: dict[str, object] = msgspec.json.decode(detail)
    return found
