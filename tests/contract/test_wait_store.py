"""The contract of WaitStore and of Blobs."""

from __future__ import annotations

import pytest

from tidemill.errors import JournalError
from tidemill.model import Condition, Wait
from tidemill.ports import Blobs, WaitStore

AT = Condition("data.id", "h1", when="async.data.n > 3")


def wait(run_id: str, key: str = "w", label: str = "", name: str = "n", condition: Condition = AT) -> Wait:
    return Wait(run_id, "shop.pay", key, name, condition, after=5, until=9, label=label, cancel=key == "cancel0")


def found(waits: WaitStore, limit: int = 100) -> list[tuple[str, str, str]]:
    """All pages of what is under AT's path and value."""
    everything: list[Wait] = []
    after: tuple[str, str] | None = None
    while page := waits.find("n", "data.id", "h1", after, limit):
        everything += page
        after = (page[-1].run_id, page[-1].key)
    return [(w.run_id, w.key, w.label) for w in everything]


def test_a_wait_comes_back_whole(waits: WaitStore) -> None:
    put = wait("r1", "cancel0", "yes")
    waits.put(put)
    assert waits.find("n", "data.id", "h1", None, 9) == [put]


def test_a_wait_is_found_under_its_name_path_and_value_only(waits: WaitStore) -> None:
    waits.put(wait("r1"))
    waits.put(wait("r2", name="m"))
    waits.put(wait("r3", condition=Condition("data.x", "h1")))
    waits.put(wait("r4", condition=Condition("data.id", "h2")))
    waits.put(wait("r5", condition=Condition(when="true")))
    assert [w.run_id for w in waits.find("n", "data.id", "h1", None, 9)] == ["r1"]
    assert [w.run_id for w in waits.find("n", None, "", None, 9)] == ["r5"]
    assert [w.run_id for w in waits.find("m", "data.id", "h1", None, 9)] == ["r2"]
    assert waits.find("n", "data.id", "h3", None, 9) == []


def test_putting_again_replaces(waits: WaitStore) -> None:
    waits.put(wait("r1"))
    again = Wait("r1", "shop.pay", "w", "n", AT, after=50)
    waits.put(again)
    assert waits.find("n", "data.id", "h1", None, 9) == [again]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 7, 100])
def test_pages_keep_the_labels_of_a_step_together(waits: WaitStore, limit: int) -> None:
    put = [
        ("r1", "a", ""),
        ("r1", "b", "x"), ("r1", "b", "y"), ("r1", "b", "z"),
        ("r1", "c", ""),
        ("r2", "a", "p"), ("r2", "a", "q"),
        ("r3", "a", ""),
    ]  # fmt: skip
    for run_id, key, label in reversed(put):
        waits.put(wait(run_id, key, label))
    assert sorted(found(waits, limit)) == put


def test_dropping_a_step_and_a_run(waits: WaitStore) -> None:
    for run_id in ("r1", "r2"):
        for key, label in (("a", "x"), ("a", "y"), ("b", "")):
            waits.put(wait(run_id, key, label))
    waits.put(wait("r1", "a", "z", name="m"))
    waits.drop("r1", "a")
    assert found(waits) == [("r1", "b", ""), ("r2", "a", "x"), ("r2", "a", "y"), ("r2", "b", "")]
    assert waits.find("m", "data.id", "h1", None, 9) == []
    waits.drop("r2")
    waits.drop("r2")
    waits.drop("r9", "a")
    assert found(waits) == [("r1", "b", "")]


def test_whether_a_name_is_awaited(waits: WaitStore) -> None:
    assert not waits.awaited("n")
    waits.put(wait("r1"))
    waits.put(wait("r2", condition=Condition()))
    assert waits.awaited("n")
    assert not waits.awaited("m")
    waits.drop("r1")
    assert waits.awaited("n")
    waits.drop("r2")
    assert not waits.awaited("n")
    waits.put(wait("r3"))
    assert waits.awaited("n")


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
