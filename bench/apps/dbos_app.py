"""The benched functions on DBOS with SQLite, in one process with the HTTP server, as in its guide."""

from __future__ import annotations

import sys
from typing import Any

from dbos import DBOS, SetEnqueueOptions
from door import serve
from mark import mark

DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{sys.argv[2]}/dbos.sqlite", "log_level": "WARNING"})


@DBOS.step()
def work(key: str) -> str:
    mark("s", key)
    return key


@DBOS.step()
def nothing(i: int) -> int:
    return i


@DBOS.workflow()
def one(key: str, _: int) -> None:
    work(key)
    mark("e", key)


@DBOS.workflow()
def steps(key: str, n: int) -> None:
    mark("b", key)
    for i in range(n):
        nothing(i)
    mark("e", key)


@DBOS.workflow()
def nap(key: str, n: int) -> None:
    mark("b", key)
    DBOS.sleep(n)
    mark("e", key)


@DBOS.workflow()
def single(key: str) -> None:
    mark("b", key)
    mark("e", key)


def limited(name: str, data: dict[str, Any]) -> bool:
    if name == "bench/ten":
        TEN.enqueue(one, data["k"], 0)
    elif name == "bench/keyed":
        with SetEnqueueOptions(queue_partition_key=str(data["n"])):
            KEYED.enqueue(one, data["k"], 0)
    elif name == "bench/single":
        SINGLE.enqueue(single, data["k"])
    else:
        return False
    return True


def send(name: str, data: dict[str, Any]) -> None:
    if limited(name, data):
        return
    if name == "bench/fan":
        for number in range(5):
            DBOS.start_workflow(one, f"{data['k']}.{number}", 0)
        return
    workflow = {"bench/one": one, "bench/steps": steps, "bench/nap": nap}[name]
    DBOS.start_workflow(workflow, data["k"], data.get("n", 0))


DBOS.launch()
TEN = DBOS.register_queue("ten", global_concurrency=10, polling_interval_sec=0.01)
KEYED = DBOS.register_queue("keyed", partition_concurrency=1, polling_interval_sec=0.01)
SINGLE = DBOS.register_queue("single", global_concurrency=1, polling_interval_sec=0.01)
serve(int(sys.argv[1]), send)
