"""What queues are called: one function each, and an app's by a beginning that is no other's."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tidemill.aws.settings import QUEUE_CHARS, app_prefix, dead_letter_name, queue_name

SIGNS = st.sampled_from("abcxyz019-_")
IDS = st.builds(lambda first, rest: first + rest, st.sampled_from("abcxyz01"), st.text(SIGNS, max_size=60))
FUNCTIONS = st.one_of(IDS, st.builds(lambda app, name: f"{app}.{name}", IDS, IDS))


@pytest.mark.parametrize(
    ("id", "name"),
    [
        ("legacy", "tidemill-prod-legacy"),
        ("shop.pack", "tidemill-prod-shop__pack"),
        ("crm_x.pack", "tidemill-prod-crm_x__pack-6d8a1b4d5c"),
    ],
)
def test_names_can_be_read(id: str, name: str) -> None:
    assert re.sub(r"-[0-9a-f]{10}$", "", queue_name("prod", id)) == re.sub(r"-[0-9a-f]{10}$", "", name)


@given(FUNCTIONS)
def test_a_name_is_one_that_sqs_takes(id: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", queue_name("m" * 20, id))
    assert len(dead_letter_name("m" * 20, id)) <= QUEUE_CHARS


@given(IDS, FUNCTIONS)
@example("crm", "crm_x.a")
@example("crm", "crm__x.a")
@example("crm", "crm_.a")
@example("crm", "crm__x")
@example("crm", "crm-.a")
@example("a" * 32, "a" * 33 + ".a")
def test_a_queue_begins_with_the_prefix_of_its_own_app_alone(app: str, id: str) -> None:
    for mill in ("prod", "m" * 20):
        owner = id.partition(".")[0] if "." in id else None
        assert queue_name(mill, id).startswith(app_prefix(mill, app)) == (owner == app)


@given(FUNCTIONS, FUNCTIONS)
def test_no_two_functions_share_a_queue(one: str, other: str) -> None:
    assert (queue_name("prod", one) == queue_name("prod", other)) == (one == other)
