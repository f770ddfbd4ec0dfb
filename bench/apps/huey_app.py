"""The one-step function as a huey task on SQLite; run as a program it is the door."""

from __future__ import annotations

import os
import sys

from huey import SqliteHuey
from mark import mark

huey = SqliteHuey(filename=os.environ["BENCH_ROOM"] + "/huey.sqlite", results=False)


@huey.task()
def one(key: str) -> None:
    mark("s", key)
    mark("e", key)


if __name__ == "__main__":
    from door import sender, serve
    from huey_app import one as task

    serve(int(sys.argv[1]), sender(task))
