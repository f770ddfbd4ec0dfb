"""AWS in this process: moto's services answer the AWS client's requests, without a socket.

moto has one AWS for the whole process, so separate tests use separate names. Only tests use this; moto is imported on
the first request.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import msgspec

from tidemill.aws.calls.client import Client
from tidemill.aws.calls.sign import Credentials
from tidemill.aws.calls.transport import Reply, Request, Transport
from tidemill.aws.dynamo.keys import INDEXES, PK, SK
from tidemill.aws.dynamo.table import Table

REGION = "eu-west-1"
ACCOUNT = "123456789012"  # moto's own
_NOT_TAKEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")  # SQS's JSON error, which moto does not produce
_MODULES = {"lambda": "awslambda"}  # services with another name in moto

_Handler = Callable[[Any, str, Any], tuple[int, Mapping[str, Any], str | bytes]]
_numbers = itertools.count(1)


class MotoTransport:
    """A transport of `tidemill.aws.calls.client.Client` that is answered in this process."""

    def __init__(self) -> None:
        self._urls: dict[str, list[tuple[re.Pattern[str], _Handler]]] = {}

    def __call__(self, request: Request) -> Reply:
        from werkzeug.exceptions import HTTPException

        if request.operation == "SendMessage" and _NOT_TAKEN.search(msgspec.json.decode(request.body)["MessageBody"]):
            return Reply(400, {}, b'{"__type":"com.amazonaws.sqs#InvalidMessageContents","message":"The characters."}')
        path, _, query = request.target.partition("?")
        base = f"https://{request.host}"
        asked = _moto("core.request").Request.from_values(
            method=request.method,
            base_url=base,
            path=path,
            query_string=query,
            data=request.body,
            headers=[*request.headers.items(), ("content-length", str(len(request.body)))],
        )
        asked.environ["RAW_URI"] = request.target
        try:
            status, headers, body = self._handler(request.service, base + path)(asked, asked.raw_url, asked.headers)
        except HTTPException as refused:
            status, headers, body = refused.code or 500, dict(refused.get_headers()), refused.get_body()
        content = body.encode() if isinstance(body, str) else body
        return Reply(status, {name.lower(): str(value) for name, value in headers.items()}, content or b"")

    def _handler(self, service: str, url: str) -> _Handler:
        if service not in self._urls:
            urls = _backends(service)[ACCOUNT]["aws" if service == "s3" else REGION].urls
            self._urls[service] = [(re.compile(pattern), handler) for pattern, handler in urls.items()]
        for pattern, handler in self._urls[service]:
            if pattern.match(url):
                return handler
        raise LookupError(f"moto has no handler for {url}")


def client(transport: Transport | None = None, **options: Any) -> Client:
    """A client whose AWS is in this process. `transport`: another one, say one that counts or fails, around it."""
    return Client(
        region=REGION,
        credentials=lambda: Credentials("AKIDEXAMPLE", "secret"),
        environment={},
        transport=transport or MotoTransport(),
        **options,
    )


def fresh(prefix: str) -> str:
    """A name that is unique in this process."""
    return f"{prefix}-{next(_numbers)}"


def reset(*services: str) -> None:
    """Delete everything in these services."""
    for service in services:
        _backends(service).reset()


def _backends(service: str) -> Any:
    return _moto("backends").get_backend(_MODULES.get(service, service))


def _moto(module: str) -> Any:
    """A module of moto's, imported when it is first needed; it is not typed as strictly as we are."""
    return import_module(f"moto.{module}")


def create_table(client: Client, name: str) -> None:
    """Create Tidemill's table, with its keys and indexes."""
    attributes = {PK, SK} | {attribute for index in INDEXES for attribute in (index.pk, index.sk)}
    client.call(
        "dynamodb",
        "CreateTable",
        {
            "TableName": name,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": a, "AttributeType": "S"} for a in sorted(attributes)],
            "KeySchema": _keys(PK, SK),
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": index.name,
                    "KeySchema": _keys(index.pk, index.sk),
                    "Projection": _projection(index.also),
                }
                for index in INDEXES
            ],
        },
    )


def fresh_table(prefix: str) -> Table:
    """A new table with a name of its own."""
    table = Table(client(), fresh(prefix))
    create_table(table.client, table.name)
    return table


def create_bucket(client: Client, name: str) -> None:
    body = (
        '<CreateBucketConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<LocationConstraint>{client.region}</LocationConstraint></CreateBucketConfiguration>"
    )
    client.send("s3", "PUT", f"/{name}", body=body.encode())


def create_queue(client: Client, name: str, attributes: Mapping[str, str] = {}) -> str:
    """The URL of the new queue."""
    return str(client.call("sqs", "CreateQueue", {"QueueName": name, "Attributes": dict(attributes)})["QueueUrl"])


def create_bus(client: Client, name: str) -> str:
    """The ARN of the new bus."""
    return str(client.call("events", "CreateEventBus", {"Name": name})["EventBusArn"])


def queue_arn(name: str) -> str:
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def create_rule(client: Client, bus: str, name: str, pattern: Mapping[str, Any], target_arn: str) -> None:
    """A rule of the bus that sends what matches the pattern to one target."""
    body = {"Name": name, "EventBusName": bus, "EventPattern": msgspec.json.encode(pattern).decode()}
    client.call("events", "PutRule", body)
    target = {"Id": "target", "Arn": target_arn}
    client.call("events", "PutTargets", {"Rule": name, "EventBusName": bus, "Targets": [target]})


def _keys(pk: str, sk: str) -> list[dict[str, str]]:
    return [{"AttributeName": pk, "KeyType": "HASH"}, {"AttributeName": sk, "KeyType": "RANGE"}]


def _projection(also: Sequence[str]) -> dict[str, Any]:
    if not also:
        return {"ProjectionType": "KEYS_ONLY"}
    return {"ProjectionType": "INCLUDE", "NonKeyAttributes": list(also)}
