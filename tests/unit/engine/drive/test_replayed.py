"""The keys of steps: the same in every replay, whatever the order in which branches happen to run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.engine.drive.replayed import Branch, attempt, unlike
from tidemill.errors import NonRetriableError

ids = st.lists(st.sampled_from(["a", "b", "a:1", "a:2", "b:1", "p0/0/a", "a:1:1"]), max_size=30)


def test_an_id_used_again_is_numbered():
    branch = Branch()
    assert [branch.key("a") for _ in range(3)] == ["a", "a:1", "a:2"]
    assert branch.key("b") == "b"


def test_an_id_that_looks_like_a_repetition_gives_way():
    branch = Branch()
    assert [branch.key(id) for id in ["a:1", "a", "a", "a"]] == ["a:1", "a", "a:2", "a:3"]
    again = Branch()
    assert [again.key(id) for id in ["a", "a", "a:1"]] == ["a", "a:1", "a:1:1"]


@given(ids)
def test_no_two_steps_of_a_branch_share_a_key_and_a_replay_gives_the_same(used):
    branch, replay = Branch(), Branch()
    keys = [branch.key(id) for id in used]
    assert len(set(keys)) == len(keys)
    assert [replay.key(id) for id in used] == keys


@given(ids, st.integers(0, 30))
def test_what_comes_later_changes_no_key_before_it(used, cut):
    whole, part = Branch(), Branch()
    assert [part.key(id) for id in used[:cut]] == [whole.key(id) for id in used][:cut]


def test_branches_have_scopes_of_their_own():
    trunk = Branch()
    one, two = trunk.branches(2)
    assert (one.key("a"), two.key("b"), one.key("a")) == ("p0/0/a", "p0/1/b", "p0/0/a:1")
    (inner,) = two.branches(1)
    assert inner.key("a") == "p0/1/p0/0/a"
    (later,) = trunk.branches(1)
    assert later.key("a") == "p1/0/a"
    assert trunk.key("a") == "a"


def test_the_same_id_in_two_branches_of_one_parallel_is_told():
    one, two = Branch().branches(2)
    one.key("item 2")
    with pytest.raises(NonRetriableError, match="loop variable"):
        two.key("item 2")
    assert one.key("item 2") == "p0/0/item 2:1", "in one branch it is a repetition"


def test_a_step_inside_of_a_step_is_told():
    token = attempt.set(1)
    try:
        with pytest.raises(NonRetriableError, match="inside of another step"):
            Branch().key("inner")
    finally:
        attempt.reset(token)


def test_a_step_of_another_kind_is_told():
    assert "'x' is a 'sleep' step now" in str(unlike("x", "run", "sleep"))
