"""Measures the AWS client beside boto3: CPU of this process per DynamoDB PutItem, and the import.

    python bench/aws_client.py [--calls 3000] [--quick]

The other side is a process that answers at once over a plain socket, so what is left is the client. CPU, not time: in
a small Lambda CPU is what is scarce. A step is `DynamoRuns.append` of one result, from the record to the answer.
Prints a table, and writes results/aws_client.json unless --quick.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from proc import HERE, machine

sys.path.insert(0, str(HERE.parent / "src"))

ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: Server\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n"
    b"Connection: keep-alive\r\nx-amzn-RequestId: 0123456789\r\nx-amz-crc32: 2745614147\r\n\r\n{}"
)
REGION = "eu-west-1"
KEYS = ("AKIDEXAMPLE", "secret", "token" * 100)  # a Lambda's session token is long
IMPORTS = {"nothing": "pass", "ours": "import tidemill.aws.function.entry", "boto3": "import boto3"}
REACH = {"step_ms": 0.5, "import_ratio": 0.5}


def serve(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    buffer = b""
    while True:
        while b"\r\n\r\n" not in buffer:
            data = connection.recv(65_536)
            if not data:
                return
            buffer += data
        head, _, buffer = buffer.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(buffer) < length:
            buffer += connection.recv(65_536)
        buffer = buffer[length:]
        connection.sendall(ANSWER)


def item(number: int) -> dict[str, dict[str, str]]:
    return {
        "pk": {"S": "RUN#01JZ3NDEKTSV4RRFFQ69G5FAVA"},
        "sk": {"S": f"{number:010d}"},
        "ttl": {"N": "1795184000"},
        "r": {"B": "lgKnY2hhcmdlo3J1bs8AAAGg"},
    }


def ours(url: str) -> Callable[[int], object]:
    client = _client(url)

    def call(number: int) -> object:
        body = {"TableName": "t", "Item": item(number), "ConditionExpression": "attribute_not_exists(pk)"}
        return client.call("dynamodb", "PutItem", body)

    return call


def step(url: str) -> Callable[[int], object]:
    from tidemill.aws.blobs import S3Blobs
    from tidemill.aws.dynamo.runs import DynamoRuns
    from tidemill.aws.dynamo.table import Table
    from tidemill.aws.system import SystemClock
    from tidemill.core.journal import StepDone

    client = _client(url)
    runs = DynamoRuns(Table(client, "t"), S3Blobs(client, "b"), SystemClock())
    record = StepDone("charge", "run", 1_790_000_000_000, 1_790_000_000_100, value=b'{"ok": true, "charged": 4200}')
    return lambda number: runs.append("01JZ3NDEKTSV4RRFFQ69G5FAVA", number + 1, [record])


def _client(url: str) -> object:
    from tidemill.aws.calls.client import Client
    from tidemill.aws.calls.sign import Credentials

    keys = Credentials(*KEYS)
    return Client(region=REGION, credentials=lambda: keys, environment={"AWS_ENDPOINT_URL": url})


def boto3(url: str, **config: object) -> Callable[[int], object]:
    import base64

    import boto3
    from botocore.config import Config

    client = boto3.client(
        "dynamodb",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        aws_session_token=KEYS[2],
        config=Config(**config),
    )

    def call(number: int) -> object:
        made = item(number)
        made["r"] = {"B": base64.b64decode(made["r"]["B"])}
        return client.put_item(TableName="t", Item=made, ConditionExpression="attribute_not_exists(pk)")

    return call


CLIENTS: dict[str, Callable[[str], Callable[[int], object]]] = {
    "ours: PutItem": ours,
    "ours: a step": step,
    "boto3: PutItem": boto3,
    "boto3, no validation: PutItem": lambda url: boto3(url, parameter_validation=False),
}


def cpu_ms(call: Callable[[int], object], calls: int) -> float:
    for number in range(50):
        call(number)
    began = time.process_time()
    for number in range(calls):
        call(number)
    return (time.process_time() - began) / calls * 1_000


def import_ms(rounds: int) -> dict[str, float]:
    """CPU of fresh interpreters, in turns: the least of the rounds, for everything else on the machine only adds."""
    path = os.pathsep.join([str(HERE.parent / "src"), sysconfig.get_path("purelib")])
    least = dict.fromkeys(IMPORTS, float("inf"))
    for _ in range(rounds):
        for name, program in IMPORTS.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-S", "-c", program], env={"PYTHONPATH": path}, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            least[name] = min(least[name], spent * 1_000)
    return least


def measure(calls: int, rounds: int) -> dict[str, float]:
    server = socket.create_server(("127.0.0.1", 0))
    served = subprocess.Popen([sys.executable, __file__, "--serve", str(server.fileno())], pass_fds=[server.fileno()])
    try:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        made = {name: make(url) for name, make in CLIENTS.items()}
        spent: dict[str, list[float]] = {name: [] for name in made}
        for _ in range(rounds):  # one after the other, so that a slow minute meets all of them
            for name, call in made.items():
                spent[name].append(cpu_ms(call, calls))
    finally:
        served.kill()
        served.wait()
    values = {name: round(median(took), 4) for name, took in spent.items()}
    imports = import_ms(4 * rounds)
    values |= {f"import: {name}": round(imports[name] - imports["nothing"], 1) for name in ("ours", "boto3")}
    return values


def table(values: dict[str, float]) -> str:
    rows = [
        f"| {name} | {value:.3f} ms |" if value < 10 else f"| {name} | {value:.0f} ms |"
        for name, value in values.items()
    ]
    ratio = values["import: ours"] / values["import: boto3"]
    verdicts = [
        ("a step ≤ 0.5 ms", values["ours: a step"], REACH["step_ms"]),
        ("import, of boto3's, ≤ 0.5", ratio, REACH["import_ratio"]),
    ]
    rows += [f"| {what} | {found:.2f} {'✓' if found <= most else '✗'} |" for what, found, most in verdicts]
    skipped = [] if importlib.util.find_spec("awscrt") else ["", "Not run: awscrt is not installed here."]
    return "\n".join(["| CPU | |", "|---|---|", *rows, *skipped])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--calls", type=int, default=3_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve(socket.socket(fileno=options.serve))
        return
    values = measure(300 if options.quick else options.calls, 1 if options.quick else 5)
    sys.stdout.write(table(values) + "\n")
    if not options.quick:
        result = {
            "work": "aws_client",
            "quick": False,
            "when": f"{datetime.now(UTC):%Y-%m-%d}",
            "machine": machine(),
            "values": values,
        }
        Path(HERE / "results" / "aws_client.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
