"""The contract of WaitStore."""

from __future__ import annotations

import pytest

from tidemill.model import FAILED, FINISHED, Condition, Wait
from tidemill.ports import WaitStore

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
    assert [w.run_id for w in waits.find("n", "", "", None, 9)] == ["r5"]
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


def test_whether_an_announcement_is_awaited(waits: WaitStore) -> None:
    assert not waits.awaited(FINISHED)
    waits.put(wait("r1", name=FINISHED))
    waits.put(wait("r1", "v", name=FINISHED))
    waits.put(wait("r2", name=FINISHED, condition=Condition()))
    assert waits.awaited(FINISHED)
    assert not waits.awaited(FAILED)
    waits.drop("r1", "w")
    waits.drop("r1", "v")
    assert waits.awaited(FINISHED)
    waits.drop("r2")
    assert not waits.awaited(FINISHED)
    waits.put(wait("r3", name=FINISHED))
    assert waits.awaited(FINISHED)


def test_what_looks_like_another_key_is_none(waits: WaitStore) -> None:
    alike = [("n#a", "b"), ("n", "a#b"), ("n%23a", "b"), ("n#a=h1", "b"), ("n", "a=h1#b")]
    for number, (name, path) in enumerate(alike):
        waits.put(wait(f"r{number}", name=name, condition=Condition(path, "h1")))
    for number, (name, path) in enumerate(alike):
        assert [w.run_id for w in waits.find(name, path, "h1", None, 9)] == [f"r{number}"]
    keys = [("a", "b"), ("a#b", ""), ("a%23b", ""), ("a#", "b")]
    for key, label in keys:
        waits.put(wait("r", key, label))
    assert sorted(found(waits, 1)) == sorted(("r", *key) for key in keys)
    waits.drop("r", "a")
    assert sorted(found(waits)) == sorted(("r", *key) for key in keys[1:])


def test_long_keys(waits: WaitStore) -> None:
    long = "ü" * 300
    put = [(f"p0/{long}", ""), (f"p0/{long}", long), (f"p1/{long}", ""), ("\x1fcancel0", "")]
    name, path = "n" + "#" * 255, f"data['{long * 3}']"
    for key, label in put:
        waits.put(wait("r", key, label, name, Condition(path, "h")))
    assert sorted((w.key, w.label) for w in waits.find(name, path, "h", None, 9)) == sorted(put)
    waits.drop("r", put[0][0])
    assert sorted((w.key, w.label) for w in waits.find(name, path, "h", None, 9)) == sorted(put[2:])
    waits.drop("r")
    assert waits.find(name, path, "h", None, 9) == []


@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_waits_without_a_key_are_found_in_pages(waits: WaitStore, limit: int) -> None:
    put = [(f"r{number}", label) for number in range(12) for label in ("x", "y")]
    for run_id, label in put:
        waits.put(wait(run_id, label=label, condition=Condition(when="true")))
    everything: list[Wait] = []
    after: tuple[str, str] | None = None
    while page := waits.find("n", None, "", after, limit):
        everything += page
        after = (page[-1].run_id, page[-1].key)
    assert sorted((w.run_id, w.label) for w in everything) == sorted(put)
    for number in range(12):
        waits.drop(f"r{number}")
    assert waits.find("n", None, "", None, limit) == []
