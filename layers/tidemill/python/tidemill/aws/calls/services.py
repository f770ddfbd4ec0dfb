"""The AWS services that Tidemill calls: their operation names, endpoints and error formats."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec


class Service(NamedTuple):
    endpoint_variable: str  # the variable of this service's endpoint; AWS_ENDPOINT_URL is that of all services
    target: str = ""  # the prefix of X-Amz-Target, for JSON services
    version: str = "1.0"  # of the JSON protocol


SERVICES: Mapping[str, Service] = {
    "dynamodb": Service("AWS_ENDPOINT_URL_DYNAMODB", "DynamoDB_20120810."),
    "sqs": Service("AWS_ENDPOINT_URL_SQS", "AmazonSQS."),
    "events": Service("AWS_ENDPOINT_URL_EVENTBRIDGE", "AWSEvents.", "1.1"),
    "secretsmanager": Service("AWS_ENDPOINT_URL_SECRETS_MANAGER", "secretsmanager.", "1.1"),
    "s3": Service("AWS_ENDPOINT_URL_S3"),
    "scheduler": Service("AWS_ENDPOINT_URL_SCHEDULER"),
    "lambda": Service("AWS_ENDPOINT_URL_LAMBDA"),
    "ecs": Service("AWS_ENDPOINT_URL_ECS", "AmazonEC2ContainerServiceV20141113.", "1.1"),
    "logs": Service("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", "Logs_20140328.", "1.1"),
}

# What AWS's own clients treat as transient. TransactionCanceledException is transient if its reasons are.
PASSING = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceeded",  # as the reason of a cancelled transaction
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_CANCELED = "TransactionCanceledException"
_XML_CODE = re.compile(rb"<Code>([^<]*)</Code>")
_XML_MESSAGE = re.compile(rb"<Message>([^<]*)</Message>")


class Place(NamedTuple):
    """The endpoint of a request. `prefix`: the start of its path. `buckets`: S3's, with a host name per bucket."""

    secure: bool
    host: str
    prefix: str = ""
    buckets: bool = False

    def at(self, path: str) -> tuple[str, str]:
        """Host and path of a request, from its quoted path."""
        if not self.buckets:
            return self.host, self.prefix + path
        bucket, _, key = path[1:].partition("/")
        return f"{bucket}.{self.host}", "/" + key


def place(service: str, region: str, environment: Mapping[str, str]) -> Place:
    own = environment.get(SERVICES[service].endpoint_variable) or environment.get("AWS_ENDPOINT_URL")
    if own:
        url = urlsplit(own)
        return Place(url.scheme == "https", url.netloc, url.path.rstrip("/"))
    host = f"{service}.{region}.{'amazonaws.com.cn' if region.startswith('cn-') else 'amazonaws.com'}"
    return Place(True, host, buckets=service == "s3")


def quoted(path: str) -> str:
    return quote(path, safe="/-_.~")


class AwsError(Exception):
    """AWS refused a call. `code` as AWS names it ("ConditionalCheckFailedException"); `detail`: the answer's body."""

    def __init__(
        self, service: str, operation: str, code: str, message: str, status: int, detail: dict[str, Any] | None = None
    ) -> None:
        self.service = service
        self.operation = operation
        self.code = code
        self.message = message
        self.status = status
        self.detail = detail or {}
        super().__init__(f"{service} {operation} answered {status} {code}: {message}")

    @property
    def passing(self) -> bool:
        """Whether the same call may succeed a little later."""
        if self.code == _CANCELED:
            reasons = {reason.get("Code") for reason in self.detail.get("CancellationReasons", ())} - {None, "None"}
            return bool(reasons) and reasons <= PASSING
        return self.status >= 500 or self.status == 429 or self.code in PASSING


def error_of(service: str, operation: str, status: int, headers: Mapping[str, str], body: bytes) -> AwsError:
    """The error in an answer with this status: JSON, or S3's XML."""
    if body.startswith(b"<"):
        code, message = _XML_CODE.search(body), _XML_MESSAGE.search(body)
        return AwsError(service, operation, _text(code) or str(status), _text(message), status)
    detail = _object(body)
    kind = headers.get("x-amzn-errortype") or detail.get("__type") or detail.get("code") or detail.get("Type") or ""
    name = str(kind).split("#")[-1].split(":")[0] or str(status)
    text = detail.get("message") or detail.get("Message") or ""
    return AwsError(service, operation, name, str(text), status, detail)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _text(found: re.Match[bytes] | None) -> str:
    return found[1].decode("utf-8", "replace") if found else ""
