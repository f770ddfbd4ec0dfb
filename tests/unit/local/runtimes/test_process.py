"""`docker` steps as plain processes: what of a Dockerfile counts, what ends, and what is refused."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from contract.programs import clock, task_of
from support.processes import wait_until_gone

from tidemill.core.definition import Docker
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill_local.runtimes import Containers, dockerfile, process
from tidemill_local.runtimes.guard import Guard
from tidemill_local.runtimes.process import ProcessRuntime


def run(folder: Path, script: str, file: str = 'ENTRYPOINT ["sh", "./run.sh"]', **more: Any) -> Any:
    (folder / "run.sh").write_text(script)
    (folder / "Dockerfile").write_text(file)
    return ProcessRuntime(clock)(task_of(Docker(), ".", folder, **more))


def failure(folder: Path, script: str = "", **more: Any) -> Failure:
    with pytest.raises(TaskFailed) as caught:
        run(folder, script, **more)
    return caught.value.failure


def start(folder: Path, text: str, **environment: str) -> dockerfile.Start:
    (folder / "Dockerfile").write_text(text)
    return dockerfile.start(folder / "Dockerfile", environment)


def test_it_runs_in_its_folder_with_the_environment_of_the_dockerfile(tmp_path: Path) -> None:
    script = 'printf \'{"cwd": "%s", "name": "%s", "count": %d, "last": %s}\' "$PWD" "$NAME" $# "$2"'
    file = 'FROM alpine\nENV NAME="two words"\nWORKDIR /elsewhere\nCOPY . .\nENTRYPOINT ["sh", "./run.sh", "first"]'
    output = run(tmp_path, script, file)
    assert output == {"cwd": str(tmp_path), "name": "two words", "count": 2, "last": {"a": 1}}


def test_a_file_in_which_the_format_is_used(tmp_path: Path) -> None:
    found = start(
        tmp_path,
        """# syntax=docker/dockerfile:1
FROM golang AS build
ENV ONLY=here
RUN <<EOF
ENTRYPOINT ["not this"]
EOF
ENTRYPOINT ["./builder"]

from --platform=linux/amd64 alpine as base
ARG VERSION=2
ENV APP=/app \\
    # a comment between
    PATH=/app/bin:$PATH V=${VERSION} OTHER=${NONE:-x\\ y}
ENV OLD the old form
FROM base
env  LATE ${APP}/late \\$HOME
EntryPoint [ "python3", "-m", \\
  "thing" ]
CMD ["ignored"]
""",
        PATH="/bin",
    )
    assert found.command == ("python3", "-m", "thing")
    assert found.environment == {
        "APP": "/app", "PATH": "/app/bin:/bin", "V": "2", "OTHER": "x y", "OLD": "the old form",
        "LATE": "/app/late $HOME",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("FROM alpine\nCMD ./run.sh", "no ENTRYPOINT"),
        ("FROM alpine\nENTRYPOINT ./run.sh", "shell form"),
        ('FROM alpine\nENTRYPOINT ["./run.sh", 1]', "shell form"),
        ("FROM alpine\nENTRYPOINT []", "starts nothing"),
        ('FROM alpine AS a\nENTRYPOINT ["x"]\nFROM alpine', "no ENTRYPOINT"),
        ('FROM alpine\nENV A="x\nENTRYPOINT ["x"]', "cannot be read"),
    ],
)
def test_a_dockerfile_that_starts_nothing_is_refused(tmp_path: Path, text: str, why: str) -> None:
    found = failure(tmp_path, file=text)
    assert why in found.message
    assert "'press'" in found.message
    assert not found.retriable


def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    assert "cannot be started" in failure(tmp_path, file='ENTRYPOINT ["./none"]').message
    runtime = ProcessRuntime(clock)
    for path, why in ((None, "no folder"), ("none", "is no folder"), (str(tmp_path), "there is no Dockerfile")):
        (tmp_path / "Dockerfile").unlink(missing_ok=True)
        with pytest.raises(TaskFailed, match=why) as caught:
            runtime(task_of(Docker(image="alpine:3"), path, tmp_path))
        assert not caught.value.failure.retriable


def test_a_changed_dockerfile_is_read_again(tmp_path: Path) -> None:
    runtime = ProcessRuntime(clock)
    for word in ("one", "other"):
        (tmp_path / "Dockerfile").write_text(f'ENTRYPOINT ["echo", "{word}"]')
        os.utime(tmp_path / "Dockerfile", ns=(0, len(word)))
        assert runtime(task_of(Docker(), ".", tmp_path)) == {"body": f'{word} {{"a":1}}\n'}


def test_what_it_leaves_behind_neither_holds_it_up_nor_lives_on(tmp_path: Path) -> None:
    began = time.monotonic()
    output = run(tmp_path, "sleep 600 & echo $!")
    assert time.monotonic() - began < 120
    wait_until_gone(output)


def test_all_of_it_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    assert failure(tmp_path, "sleep 600 & echo $! > child; wait", timeout=300).type == "StepTimeoutError"
    wait_until_gone(int((tmp_path / "child").read_text()))


def test_streams_that_end_early_do_not_end_it(tmp_path: Path) -> None:
    assert failure(tmp_path, "exec >&- 2>&-; sleep 0.1; exit 4").message.endswith("exit code 4")


def test_a_status_decides_whatever_the_exit_code(tmp_path: Path) -> None:
    found = failure(tmp_path, """echo '{"status": 422, "why": "no such card"}'; echo careful >&2; exit 1""")
    assert (found.type, found.retriable) == ("StatusError", False)
    assert "its process ended with exit code 1" in found.message
    assert "no such card" in found.message


def test_a_signal_is_named(tmp_path: Path) -> None:
    assert "signal 9" in failure(tmp_path, "kill -9 $$").message


def test_output_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.runtimes.output import Bounded

    monkeypatch.setattr(process, "Bounded", lambda: Bounded(100_000))
    assert failure(tmp_path, "yes").type == "OutputTooLarge"


def test_that_processes_stand_in_for_containers_is_said_once(tmp_path: Path) -> None:
    notes: list[str] = []
    runtime = Containers(clock, {"DOCKER_HOST": f"unix://{tmp_path}/none"}, notes.append)
    (tmp_path / "Dockerfile").write_text('ENTRYPOINT ["echo"]')
    for _ in range(3):
        runtime(task_of(Docker(), ".", tmp_path))
    assert len(notes) == 1
    assert "ENTRYPOINT" in notes[0]


def test_the_guard_kills_what_its_process_leaves_alive() -> None:
    guard = Guard()
    ended, left = (subprocess.Popen(["sleep", "600"], process_group=0) for _ in range(2))
    with ended, left:
        for each in (ended, left):
            guard.watch(each.pid)
        guard.end(ended.pid)
        assert ended.wait(120) == -9
        assert left.poll() is None
        guard.close()
        assert left.wait(120) == -9
