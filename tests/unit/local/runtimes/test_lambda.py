"""`lambda` steps: folders in processes of their own, warm, cold and dying; and Lambdas that are deployed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.programs import clock, task_of
from support.processes import wait_until_gone

from tidemill.aws.calls.client import Client, Credentials, Reply, Request
from tidemill.core.definition import Lambda
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill.runtimes import extras
from tidemill_local.runtimes.lambda_ import LambdaRuntime
from tidemill_local.runtimes.warm import Versions, Warm

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:price"
PID = "import os\ndef handler(event, context):\n    return {'pid': os.getpid(), 'mark': %r}\n"


@pytest.fixture
def runtime() -> Iterator[LambdaRuntime]:
    made = LambdaRuntime(clock, warm=Warm(most=2, idle=30), versions=Versions(share=0))
    yield made
    made.warm.close()


def run(runtime: LambdaRuntime, folder: Path, code: str | None = None, **more: Any) -> Any:
    if code is not None:
        (folder / "handler.py").write_text(code)
    return runtime(task_of(Lambda(), ".", folder, **more))


def test_without_the_runtime_client_the_step_says_the_command(
    runtime: LambdaRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    found = failure(runtime, tmp_path, "def handler(event, context): ...")
    assert "a lambda step needs awslambdaric, only for Linux, which is not installed" in found.message
    assert "pip install 'tidemill[lambda]'" in found.message
    assert not found.retriable


def failure(runtime: LambdaRuntime, folder: Path, code: str, **more: Any) -> Failure:
    with pytest.raises(TaskFailed) as caught:
        run(runtime, folder, code, **more)
    return caught.value.failure


def test_a_process_is_kept_for_the_same_code_and_not_for_other(runtime: LambdaRuntime, tmp_path: Path) -> None:
    first = run(runtime, tmp_path, PID % "one")
    assert run(runtime, tmp_path) == first
    second = run(runtime, tmp_path, PID % "two")
    assert second["mark"] == "two"
    with pytest.raises(ProcessLookupError):
        os.kill(first["pid"], 0)


def test_a_function_error_keeps_type_message_and_stack(runtime: LambdaRuntime, tmp_path: Path) -> None:
    code = "class OutOfPaper(Exception): pass\n\ndef handler(event, context):\n    raise OutOfPaper('no paper')\n"
    found = failure(runtime, tmp_path, code)
    assert (found.type, found.message) == ("OutOfPaper", "no paper")
    assert "handler.py" in found.stack
    assert "raise OutOfPaper" in found.stack


@pytest.mark.parametrize(
    ("code", "type"),
    [
        ("import none", "Runtime.ImportModuleError"),
        ("x = (", "Runtime.UserCodeSyntaxError"),
        ("", "Runtime.HandlerNotFound"),
        ("raise KeyError('x')", "KeyError"),
        ("import sys; sys.exit(4)", "Runtime.ExitError"),
        ("import os\ndef handler(event, context): os._exit(3)", "Runtime.ExitError"),
        ("def handler(event, context): return open", "Runtime.MarshalError"),
        ("def handler(event, context): return 'x' * 6_400_000", "OutputTooLarge"),
    ],
)
def test_what_goes_wrong_has_lambdas_own_name(runtime: LambdaRuntime, tmp_path: Path, code: str, type: str) -> None:
    assert failure(runtime, tmp_path, code).type == type
    assert run(runtime, tmp_path, PID % "well again")["mark"] == "well again"


def test_a_process_that_died_while_it_was_idle_fails_nothing(runtime: LambdaRuntime, tmp_path: Path) -> None:
    pid = run(runtime, tmp_path, "import os\ndef handler(event, context):\n    return os.getpid()\n")
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid)
    assert run(runtime, tmp_path) != pid


def test_there_are_so_many_processes_and_no_more(runtime: LambdaRuntime, tmp_path: Path) -> None:
    place = tmp_path.with_name(f"{tmp_path.name}-processes")
    place.mkdir()
    code = (  # each waits until there are two at work
        "import os, time\n"
        f"PLACE = {str(place)!r}\n"
        "def handler(event, context):\n"
        "    open(f'{PLACE}/{os.getpid()}', 'w').close()\n"
        "    while len(os.listdir(PLACE)) < 2:\n"
        "        time.sleep(0.01)\n"
        "    return os.getpid()\n"
    )
    (tmp_path / "handler.py").write_text(code)
    pids: list[int] = []
    threads = [threading.Thread(target=lambda: pids.append(run(runtime, tmp_path))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 5
    assert len(set(pids)) == 2


def test_an_idle_process_is_ended(tmp_path: Path) -> None:
    runtime = LambdaRuntime(clock, warm=Warm(idle=0.05))
    pid = run(runtime, tmp_path, PID % "")["pid"]
    wait_until_gone(pid)


def test_what_is_in_the_folder_can_be_imported_and_the_context_is_lambdas(
    runtime: LambdaRuntime, tmp_path: Path
) -> None:
    (tmp_path / "prices.py").write_text("PRICE = 7\n")
    code = (
        "import os, prices\n"
        "def handler(event, context):\n"
        "    left = context.get_remaining_time_in_millis()\n"
        "    return [prices.PRICE, context.function_name, 0 < left <= 60000, os.getcwd(), context.memory_limit_in_mb]\n"
    )
    output = run(runtime, tmp_path, code, timeout=60_000)
    assert output == [7, "shop-print-press", True, str(tmp_path), "128"]


def test_what_is_no_function_is_refused(runtime: LambdaRuntime, tmp_path: Path) -> None:
    for path in (None, "none"):
        with pytest.raises(TaskFailed) as caught:
            runtime(task_of(Lambda(), path, tmp_path))
        assert not caught.value.failure.retriable
    with pytest.raises(TaskFailed, match="hand on less"):
        runtime(task_of(Lambda(), ".", tmp_path, input={"a": "x" * 6_400_000}))


def deployed(reply: Reply | Exception, timeout: int | None = None) -> tuple[Any, list[Request]]:
    sent: list[Request] = []

    def transport(request: Request) -> Reply:
        sent.append(request)
        if isinstance(reply, Exception):
            raise reply
        return reply

    client = Client(region="eu-west-1", credentials=lambda: Credentials("a", "b"), transport=transport, tries=1)
    return LambdaRuntime(clock, client)(task_of(Lambda(arn=ARN), None, Path(), timeout=timeout)), sent


def test_a_deployed_lambda_is_invoked_and_waited_for() -> None:
    output, (request,) = deployed(Reply(200, {}, b'{"cents": 3}'), timeout=7_000)
    assert output == {"cents": 3}
    assert request.target == f"/2015-03-31/functions/{ARN.replace(':', '%3A')}/invocations"
    assert (request.body, request.timeout) == (b'{"a":1}', 7.0)


@pytest.mark.parametrize(
    ("reply", "type"),
    [
        (Reply(200, {"x-amz-function-error": "Unhandled"}, b'{"errorType": "Oops", "errorMessage": "no"}'), "Oops"),
        (Reply(404, {"x-amzn-errortype": "ResourceNotFoundException"}, b"{}"), "ResourceNotFoundException"),
        (Reply(200, {}, b'{"statusCode": 500}'), "StatusError"),
        (TimeoutError(), "StepTimeoutError"),
        (ConnectionError("gone"), "Unavailable"),
    ],
)
def test_how_a_deployed_lambda_fails(reply: Reply | Exception, type: str) -> None:
    with pytest.raises(TaskFailed) as caught:
        deployed(reply)
    assert caught.value.failure.type == type
