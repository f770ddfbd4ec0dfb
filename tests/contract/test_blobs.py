"""The contract of Blobs."""

from __future__ import annotations

import pytest

from tidemill.errors import JournalError
from tidemill.ports import Blobs


def test_blobs_are_named_by_their_content(blobs: Blobs) -> None:
    large = bytes(range(256)) * 4_096
    name = blobs.put(large)
    assert blobs.put(large) == name
    assert blobs.put(b"") != name
    assert blobs.get(name) == large
    assert blobs.get(blobs.put(b"")) == b""


def test_a_missing_blob_is_an_error(blobs: Blobs) -> None:
    with pytest.raises(JournalError, match="not in the store"):
        blobs.get("0" * 64)
