"""An AWS account on this machine, for tests: ministack, started on a free port, given a synthesized CDK stack.

It is real where it matters here: CloudFormation creates the resources in their order, an HTTP API is called over HTTP,
each Lambda is a process with the real layer unpacked beside it, messages go through queues with visibility timeouts and
dead letters, and every call of a Lambda is signed, its signature checked, and weighed against the policies of its role.

Where it differs from AWS (version 1.5.33, read in its source and tried):
- It takes nulls, policies of any size and kept names: cloudformation.py refuses them.
- A template may hold nothing of LEFT_OUT: `fitting` takes it out. So nothing is archived, no secret rotates,
  and no schema is published.
  Nor an alarm on a formula of several metrics.
- A Lambda runs under the Python that ministack runs under, whatever its `Runtime` says, on this machine's architecture,
  with as much memory and CPU as there is. A time-out kills the process, as AWS does. Its `/opt` and `/var/task` are
  folders in the temporary directory, and may be written to.
- What AWS itself does under a Lambda's role is not weighed: an event source mapping that receives, logs, traces.
  Nor does EventBridge or Scheduler need a right to send to a queue. Key policies are not weighed.
- An event source mapping runs at most 5 batches of a queue at once, and sees a delayed one up to 1 s late.
- Queue metrics are always empty, so no alarm on them ever rings.
- Schedules: cron in UTC whatever the time zone, no flexible window, no jitter. See ministack_run.py for more.
- Nothing is throttled, nothing is late or doubled, and everything is consistent at once.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from support.cloudformation import policies_refused, refused

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".ministack" / "bin" / "python"
REGION = "us-east-1"
ACCOUNT = "000000000000"
_LAUNCHER = Path(__file__).with_name("ministack_run.py")
_BOOTSTRAP_VERSION = "30"
LEFT_OUT = {
    "AWS::EventSchemas::Registry",
    "AWS::EventSchemas::Schema",
    "AWS::Events::Archive",
    "AWS::SecretsManager::RotationSchedule",
}
T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 60.0, every: float = 0.1) -> T:
    """The first true answer of `look`; fails with its last one."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {within:.0f} s"
        time.sleep(every)
    return found


class Emulator:
    """`folder` holds its log, its record of calls and what its Lambdas write. After `stop` nothing runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.api = ""  # the id of the HTTP API that `ask` calls
        self.log = folder / "ministack.log"
        self.decisions = folder / "decisions.ndjson"
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        assert PYTHON.exists(), "ministack is not installed: `make .ministack/.installed`"
        self.port = _free_port()
        temporary = self.folder / "tmp"
        temporary.mkdir()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "TMPDIR": str(temporary),
            "BIND_HOST": "127.0.0.1",  # it binds every interface otherwise
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_REGION": REGION,
            "AUTH": "true",  # signatures and policies are checked
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{temporary}/no-docker.sock",
            "LOG_LEVEL": "INFO",
            "PYTHONUNBUFFERED": "1",
            "E2E_PARENT": str(os.getpid()),
            "E2E_DECISIONS": str(self.decisions),
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, _LAUNCHER], cwd=temporary, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        eventually(self._ready)

    def stop(self) -> None:
        """Ends it and every process of its Lambdas."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def client(self, service: str) -> Any:
        """A boto3 client of the account's owner."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )

    def deploy(self, assembly: Path, stack: str) -> dict[str, str]:
        """Uploads the stack's assets, creates it, and returns its outputs by name."""
        return self._made(stack, "create", self.upload(assembly, stack))

    def change(self, assembly: Path, stack: str) -> dict[str, str]:
        """As `deploy`, for a stack that is there."""
        return self._made(stack, "update", self.upload(assembly, stack))

    def upload(self, assembly: Path, stack: str) -> str:
        """The address of the stack's template, once it and the stack's other assets are in their buckets."""
        files = json.loads((assembly / f"{stack}.assets.json").read_text())["files"].values()
        template = assembly / f"{stack}.template.json"
        url = ""
        for file in files:
            path = assembly / file["source"]["path"]
            content = _zipped(path) if file["source"]["packaging"] == "zip" else path.read_bytes()
            if path.name.endswith(".template.json"):
                written = json.loads(content)
                assert refused(written) == [], f"AWS would refuse {path.name}"
                content = json.dumps(fitting(written)).encode()
            for destination in file["destinations"].values():
                bucket, key = (_in_account(destination[name]) for name in ("bucketName", "objectKey"))
                if path == template:
                    url = self.put(bucket, key, content)
                else:
                    self.put(bucket, key, content)
        return url

    def put(self, bucket: str, key: str, content: bytes) -> str:
        """Its address, for CloudFormation."""
        s3 = self.client("s3")
        if bucket not in [each["Name"] for each in s3.list_buckets()["Buckets"]]:
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        return f"http://127.0.0.1:{self.port}/{bucket}/{key}"

    def settled(self, stack: str, how: str, url: str) -> dict[str, Any]:
        """The stack, once it is created or updated (`how`) from this template, or has failed to be."""
        self.client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True
        )
        formation = self.client("cloudformation")
        capabilities = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
        getattr(formation, f"{how}_stack")(StackName=stack, TemplateURL=url, Capabilities=capabilities)
        try:
            found = eventually(lambda: _settled(formation.describe_stacks(StackName=stack)["Stacks"][0]), within=120)
        except AssertionError:  # a custom resource whose Lambda fails is waited for an hour
            raise AssertionError(f"{stack}: the {how} does not end\n{self.errors()}") from None
        return found

    def _made(self, stack: str, how: str, url: str) -> dict[str, str]:
        status = self.settled(stack, how, url)
        assert status["StackStatus"] == f"{how.upper()}_COMPLETE", _failures(self.client("cloudformation"), stack)
        assert policies_refused(self.client("iam")) == []
        return {output["OutputKey"]: output["OutputValue"] for output in status.get("Outputs", [])}

    def ask(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Asks the HTTP API, over HTTP: the status, and the body's JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=90)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
            host = {"Host": f"{self.api}.execute-api.localhost:{self.port}"}
            connection.request(method, path, data, {**host, **(headers or {})})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def calls(self) -> Iterator[dict[str, Any]]:
        """Every call that a role has made: `{role, lambda, action, resource, allowed}`."""
        if self.decisions.exists():
            for line in self.decisions.read_text().splitlines():
                yield json.loads(line)

    def errors(self) -> str:
        """What its log complains of."""
        lines = self.log.read_text().splitlines()
        return "\n".join(line for line in lines if " ERROR " in line or " WARNING " in line)[-6000:]

    def workers(self) -> list[int]:
        """The processes of its Lambdas (Linux)."""
        found: list[int] = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid = int(entry.name)
                if pid != self.process.pid and os.getpgid(pid) == self.process.pid:
                    found.append(pid)
        return found

    def _ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/_ministack/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


def fitting(template: dict[str, Any]) -> dict[str, Any]:
    """The template without what ministack cannot create, and without anything that says it comes after that."""
    resources = template["Resources"]
    gone = {name for name, resource in resources.items() if resource["Type"] in LEFT_OUT or _is_of_a_formula(resource)}
    for name in gone:
        del resources[name]
    for resource in resources.values():
        if "DependsOn" in resource:
            named = resource["DependsOn"]
            resource["DependsOn"] = [
                other for other in ([named] if isinstance(named, str) else named) if other not in gone
            ]
    return template


def _is_of_a_formula(resource: dict[str, Any]) -> bool:
    return resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource["Properties"]


def _in_account(text: str) -> str:
    known = {"${AWS::AccountId}": ACCOUNT, "${AWS::Region}": REGION, "${AWS::Partition}": "aws"}
    for token, value in known.items():
        text = text.replace(token, value)
    return text


def _zipped(folder: Path) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    return stream.getvalue()


def _settled(stack: dict[str, Any]) -> dict[str, Any] | None:
    return None if stack["StackStatus"].endswith("_IN_PROGRESS") else stack


def _failures(formation: Any, stack: str) -> str:
    events = formation.describe_stack_events(StackName=stack)["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    return "\n".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason')}" for event in failed)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
