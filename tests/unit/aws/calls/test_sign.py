"""Our signatures are botocore's, byte for byte."""

from __future__ import annotations

import datetime
from unittest.mock import patch
from urllib.parse import parse_qsl, urlencode

import pytest
from botocore import auth, awsrequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from tidemill.aws.calls.services import SERVICES, quoted
from tidemill.aws.calls.sign import Credentials, Signer, presigned, query_string, sign

text = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
header = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
parts = st.lists(text.filter(lambda part: part not in ("", ".", "..") and "/" not in part), max_size=4)
names = st.sampled_from(["x-amz-target", "content-type", "x-amz-meta-a", "x-amz-storage-class", "host2"])
REGION, HOST, STAMP = "eu-west-1", "example.eu-west-1.amazonaws.com", "20261122T095900Z"


def botocores(signer: type[auth.SigV4Auth], keys: Credentials, service: str, request: awsrequest.AWSRequest) -> str:
    made = signer(BotoCredentials(*keys), service, REGION)
    request.context["timestamp"] = STAMP
    request.headers["X-Amz-Date"] = STAMP
    if keys.token:
        request.headers["X-Amz-Security-Token"] = keys.token
    if service == "s3":
        request.headers["X-Amz-Content-SHA256"] = made.payload(request)
    canonical = made.canonical_request(request)
    signature = made.signature(made.string_to_sign(request, canonical), request)
    signed = made.signed_headers(made.headers_to_sign(request))
    scope = f"{STAMP[:8]}/{REGION}/{service}/aws4_request"
    return f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"


@given(
    service=st.sampled_from(sorted(SERVICES)),
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD"]),
    path=parts,
    query=st.dictionaries(text.filter(bool), text, max_size=4),
    sent=st.tuples(
        st.dictionaries(names, st.lists(header, min_size=1, max_size=3).map("  ".join), max_size=3),
        st.binary(max_size=64),
    ),
    keys=st.builds(Credentials, st.just("AKID"), header, st.none() | header),
)
def test_a_signature_is_botocores(service, method, path, query, sent, keys) -> None:
    headers, body = sent
    quoted_path = quoted("/" + "/".join(path))
    asked = query_string(query)
    headers = {"host": HOST, **headers}
    ours = sign(Signer(keys, REGION, service, STAMP), method, quoted_path, asked, headers, body)
    signer = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    url = f"https://{HOST}{quoted_path}" + (f"?{asked}" if asked else "")
    theirs = dict(headers)
    del theirs["host"]
    assert ours["authorization"] == botocores(
        signer, keys, service, awsrequest.AWSRequest(method=method, url=url, headers=theirs, data=body)
    )


@given(path=parts, seconds=st.integers(1, 604_800), token=st.none() | header, secret=header)
def test_a_presigned_url_is_botocores(path, seconds, token, secret) -> None:
    keys, sent = Credentials("AKID", secret, token), quoted("/" + "/".join(path))
    request = awsrequest.AWSRequest(method="GET", url=f"https://{HOST}{sent}")
    signer = auth.S3SigV4QueryAuth(BotoCredentials(*keys), "s3", REGION, expires=seconds)
    with patch.object(auth, "get_current_datetime", lambda: datetime.datetime.strptime(STAMP, "%Y%m%dT%H%M%SZ")):  # noqa: DTZ007
        signer.add_auth(request)
    ours = presigned(Signer(keys, REGION, "s3", STAMP), "GET", HOST, sent, seconds)
    assert dict(parse_qsl(ours)) == dict(parse_qsl(request.url.partition("?")[2]))


@given(st.dictionaries(text.filter(bool), text, max_size=4))
def test_a_query_is_what_a_server_reads(query: dict[str, str]) -> None:
    assert dict(parse_qsl(query_string(query), keep_blank_values=True)) == query
    assert query_string(query).count("=") == len(query) == urlencode(query).count("=")


def test_another_day_another_key() -> None:
    keys = Credentials("AKID", "secret")
    stamps = (STAMP, "20261123T095900Z")
    made = [sign(Signer(keys, REGION, "sqs", stamp), "POST", "/", "", {"host": HOST}, b"") for stamp in stamps]
    assert made[0]["authorization"] != made[1]["authorization"]
    assert made[1]["x-amz-date"] == stamps[1]
    assert datetime.datetime.strptime(stamps[1], "%Y%m%dT%H%M%SZ").day == 23  # noqa: DTZ007  (the stamp is UTC)


def test_a_secret_is_not_printed() -> None:
    keys = Credentials("AKID", "very-secret", "token")
    for shown in (repr(keys), str(keys), f"{keys}"):
        assert "very-secret" not in shown
        assert "token" not in shown


@pytest.mark.parametrize("path", ["/a b", "/ä/é", "/a+b", "/a%2Fb", "/a=b&c", "/~x_-."])
def test_s3_keys_with_signs_that_are_quoted(path: str) -> None:
    keys = Credentials("AKID", "s")
    ours = sign(Signer(keys, REGION, "s3", STAMP), "GET", quoted(path), "", {"host": HOST}, b"")
    theirs = botocores(
        auth.S3SigV4Auth, keys, "s3", awsrequest.AWSRequest(method="GET", url=f"https://{HOST}{quoted(path)}", data=b"")
    )
    assert ours["authorization"] == theirs
