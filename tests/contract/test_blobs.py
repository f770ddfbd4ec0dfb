"""The contract of Blobs."""

from __future__ import annotations

import pytest

from tidemill.aws.blobs import S3Blobs
from tidemill.aws.calls.client import Reply, Request
from tidemill.errors import JournalError
from tidemill.ports import Blobs
from tidemill_local.testing import moto


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


def test_a_blob_under_a_name_takes_the_place_of_the_one_before(blobs: Blobs) -> None:
    for data in (b"one", b"two"):
        assert blobs.put(data, "snapshot-r1") == "snapshot-r1"
        assert blobs.get("snapshot-r1") == data


def test_renewing_a_blob_changes_nothing_that_is_read(blobs: Blobs) -> None:
    name = blobs.put(b"a value")
    blobs.renew(name)
    assert blobs.get(name) == b"a value"
    blobs.renew("0" * 64)
    with pytest.raises(JournalError):
        blobs.get("0" * 64)


# What S3 alone answers.


class Answers:
    """S3, as it answers a GET."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.headers: list[dict[str, str]] = []

    def __call__(self, request: Request) -> Reply:
        self.headers.append(request.headers)
        return self.reply if request.method == "GET" else Reply(200, {}, b"")


def test_a_missing_object_of_a_bucket_that_may_not_be_listed_is_missing() -> None:
    body = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    blobs = S3Blobs(moto.client(Answers(Reply(403, {}, body))), "b")
    with pytest.raises(JournalError, match=r"not in the store \(S3 answered AccessDenied\)"):
        blobs.get("0" * 64)


def test_an_object_that_is_not_what_its_name_says_is_not_given_out() -> None:
    blobs = S3Blobs(moto.client(Answers(Reply(200, {}, b"somebody else's"))), "b")
    with pytest.raises(JournalError, match="not what the store holds"):
        blobs.get("0" * 64)


def test_a_bucket_of_another_account_is_refused_by_s3() -> None:
    aws = Answers(Reply(200, {}, b""))
    blobs = S3Blobs(moto.client(aws), "b", "123456789012")
    blobs.get(blobs.put(b""))
    assert [headers["x-amz-expected-bucket-owner"] for headers in aws.headers] == ["123456789012"] * 2
    assert all("x-amz-expected-bucket-owner" in headers["authorization"] for headers in aws.headers)
