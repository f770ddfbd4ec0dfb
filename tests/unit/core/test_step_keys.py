"""The keys of steps: no id that a user can write is the key of a step in a branch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.step_keys import branch_of, escaped, scopes_of, unscoped
from tidemill.engine.drive.replayed import Branch

pieces = st.sampled_from(["p0/", "0/", "p", "1/", "~", "~p0/0/", "p12/3/", "a", "/", ":1"])
ids = st.lists(pieces, min_size=1, max_size=6).map("".join)
scopes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), max_size=3)


def branch_at(scope: list[tuple[int, int]]) -> Branch:
    branch = Branch()
    for parallel, number in scope:
        for _ in range(parallel):
            branch.branches(2)
        branch = branch.branches(2)[number]
    return branch


@given(ids, ids)
def test_different_ids_stay_different(one, two):
    assert (escaped(one) == escaped(two)) == (one == two)


@given(scopes, ids, scopes, ids)
def test_two_branches_never_share_a_key(one, id_one, two, id_two):
    key, other = branch_at(one).key(id_one), branch_at(two).key(id_two)
    assert (key == other) == ((one, id_one) == (two, id_two))


@given(scopes, ids)
def test_the_id_can_be_read_from_the_key(scope, id):
    assert unscoped(branch_at(scope).key(id)) == id


@given(scopes, ids)
def test_the_branch_and_those_around_it_can_be_read_from_the_key(scope, id):
    key = branch_at(scope).key(id)
    assert branch_of(key) == branch_at(scope).prefix
    assert scopes_of(key) == [branch_at(scope[:depth]).prefix for depth in range(len(scope) + 1)]


def test_an_ordinary_id_is_its_own_key():
    for id in ("charge", "p0", "p0/0", "path/0/x", "~", "~charge", "xp0/0/a", "p0/a/b"):
        assert Branch().key(id) == id


def test_a_run_that_is_older_keeps_its_keys():
    old = Branch(escapes=False)
    assert old.key("p0/0/charge") == "p0/0/charge"
    assert old.branches(1)[0].key("p1/0/charge") == "p0/0/p1/0/charge"
