"""The Docker adapter against the engine's HTTP API (support/docker_engine.py): what it asks for, and cleans up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.programs import clock, folders, task_of
from support.docker_engine import Container, DockerEngine

from tidemill.core.definition import Docker
from tidemill.errors import TaskFailed
from tidemill.model import Failure
from tidemill_local.runtimes import Containers, docker, dockerignore, engine


@pytest.fixture
def running(tmp_path: Path) -> Iterator[DockerEngine]:
    folders(tmp_path)
    (tmp_path / "engine").mkdir()
    with DockerEngine(tmp_path / "engine") as found:
        yield found


def run(running: DockerEngine, path: str | None = "echo", runtime: Docker | None = None, **more: Any) -> Any:
    task = task_of(runtime or Docker(), path, running.folder.parent, **more)
    return Containers(clock, {"DOCKER_HOST": running.host})(task)


def failure(running: DockerEngine, *args: Any, **more: Any) -> Failure:
    with pytest.raises(TaskFailed) as caught:
        run(running, *args, **more)
    assert not running.containers
    return caught.value.failure


def test_a_container_is_told_its_limits_and_no_more(running: DockerEngine) -> None:
    assert run(running, runtime=Docker(cpu=512, memory=256)) == {"a": 1}
    (spec,) = running.created
    assert spec["Cmd"] == ['{"a":1}']
    assert spec["HostConfig"]["Memory"] == spec["HostConfig"]["MemorySwap"] == 256 << 20
    assert spec["HostConfig"]["NanoCpus"] == 500_000_000
    assert spec["HostConfig"]["NetworkMode"] == "bridge"
    assert not {"Binds", "Mounts", "PortBindings", "Privileged"} & set(spec["HostConfig"])
    assert "Env" not in spec
    assert not running.containers


def test_an_image_is_built_once_for_its_content(running: DockerEngine) -> None:
    folder = running.folder.parent / "echo"
    (folder / ".dockerignore").write_text("# not sent\n*.log\nsecret/**\n!keep.log\n")
    (folder / "secret").mkdir()
    for name in ("a.log", "keep.log", "secret/key", "main.pyc"):
        (folder / name).write_text("x")
    run(running)
    (folder / "main.py").touch()
    (folder / "a.log").write_text("y")
    run(running)
    assert len(running.builds) == 1
    assert running.builds[0] == [".dockerignore", "Dockerfile", "keep.log", "main.py", "main.pyc", "secret"]
    (folder / "keep.log").write_text("y")
    run(running)
    assert len(running.builds) == 2


def test_an_image_by_name_is_pulled_where_it_is_not_there(running: DockerEngine) -> None:
    running.registry["shop/press:latest"] = running.folder.parent / "echo"
    for _ in range(2):
        assert run(running, None, Docker(image="shop/press")) == {"a": 1}
    assert running.calls.count("POST /v1.44/images/create") == 1
    assert "does not exist" in failure(running, None, Docker(image="shop/none:2")).message


def test_a_build_that_fails_says_why(running: DockerEngine) -> None:
    (running.folder.parent / "echo" / "Dockerfile").write_text("FROM scratch\nRUN false\nENTRYPOINT []")
    found = failure(running)
    assert found.type == "BuildError"
    assert "non-zero code" in found.message


def test_an_entrypoint_that_is_not_there_is_not_tried_again(running: DockerEngine) -> None:
    (running.folder.parent / "echo" / "Dockerfile").write_text('FROM scratch\nENTRYPOINT ["./none"]')
    found = failure(running)
    assert "No such file" in found.message
    assert not found.retriable


def test_out_of_memory_is_named(running: DockerEngine) -> None:
    running.out_of_memory = True
    assert failure(running, "fail").type == "OutOfMemory"


def test_a_container_is_removed_when_its_time_is_up(running: DockerEngine) -> None:
    assert failure(running, "hang", timeout=300).type == "StepTimeoutError"
    assert running.calls[-1].startswith("DELETE /v1.44/containers/")


def test_too_much_output_ends_it(running: DockerEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from tidemill.runtimes.output import Bounded

    monkeypatch.setattr(docker, "Bounded", lambda: Bounded(1_000))
    assert failure(running, "large").type == "OutputTooLarge"


def test_an_older_engine_is_spoken_to_in_its_own_version(running: DockerEngine) -> None:
    running.version = "1.41"
    assert run(running) == {"a": 1}
    assert "POST /v1.41/containers/create" in running.calls


def test_large_inputs_come_from_the_gateway_or_through_the_engines_name_for_the_machine(running: DockerEngine) -> None:
    given = {"text": "x" * 10_000}
    assert run(running, input=given) == given
    running.gateway = "192.0.2.1"  # of no machine
    with pytest.raises(TaskFailed):
        run(running, input=given)
    near, far = (spec["Cmd"][0] for spec in running.created)
    assert near.startswith('{"input_url":"http://127.0.0.1:')
    assert far.startswith('{"input_url":"http://host.docker.internal:')
    assert running.created[1]["HostConfig"]["ExtraHosts"] == ["host.docker.internal:host-gateway"]


@pytest.mark.skipif(sys.platform != "linux", reason="an address that is still to come can be listened on in Linux")
def test_a_bridge_that_comes_with_the_first_container_is_listened_on_before(running: DockerEngine) -> None:
    running.gateway, running.kernel = "192.0.2.1", os.uname().release
    with pytest.raises(TaskFailed):
        run(running, input={"text": "x" * 10_000})  # this machine gets no such address
    assert running.created[0]["Cmd"][0].startswith('{"input_url":"http://192.0.2.1:')


def test_what_killed_workers_have_left_is_removed(running: DockerEngine) -> None:
    import os
    import socket

    with subprocess.Popen(["true"]) as dead:
        dead.wait()
    owners = {"a": f"{socket.gethostname()}:{dead.pid}", "b": f"{socket.gethostname()}:{os.getpid()}", "c": "other:1"}
    for id, owner in owners.items():
        running.containers[id] = Container({"Labels": {docker.WORKER: owner}}, Path())
    run(running)
    assert set(running.containers) == {"b", "c"}


def test_an_engine_is_asked_for_once_in_a_while(running: DockerEngine) -> None:
    now = [0.0]
    runtime = Containers(clock, {"DOCKER_HOST": running.host}, monotonic=lambda: now[0])
    for second in (0, 5, 9, 11):
        now[0] = second
        runtime(task_of(Docker(), "echo", running.folder.parent))
    assert running.calls.count("GET /_ping") == 2


def test_where_an_engine_may_be(tmp_path: Path) -> None:
    assert engine.address({"DOCKER_HOST": "tcp://127.0.0.1:2375"}) == "tcp://127.0.0.1:2375"
    (tmp_path / ".docker" / "run").mkdir(parents=True)
    (tmp_path / ".docker" / "run" / "docker.sock").touch()
    assert str(engine.address({"HOME": str(tmp_path)})).endswith("docker.sock")
    assert not engine.Engine("ssh://somewhere").answers()
    assert not engine.Engine(f"unix://{tmp_path}/.docker/run/docker.sock").answers()


@pytest.mark.parametrize(
    ("lines", "path", "ignored"),
    [
        ("*.log", "a.log", True),
        ("*.log", "logs/a.log", False),
        ("**/*.log", "logs/deep/a.log", True),
        ("logs", "logs/deep/a.log", True),
        ("/logs/", "logs/a", True),
        ("l?gs/*.txt", "logs/a.txt", True),
        ("a[0-9]", "a7", True),
        ("*\n!keep.*", "keep.me", False),
        ("*\n!keep.*\nkeep.me", "keep.me", True),
        ("*", "Dockerfile", False),
        ("# a.log", "a.log", False),
        ("a.log", "axlog", False),
    ],
)
def test_what_is_not_sent(lines: str, path: str, ignored: bool) -> None:
    assert dockerignore.Ignored(lines.split("\n"))(path) is ignored
