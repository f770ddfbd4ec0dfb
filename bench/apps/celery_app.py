"""The one-step function as a Celery task on Redis; run as a program it is the door."""

from __future__ import annotations

import os
import sys

from celery import Celery
from mark import mark

app = Celery("celery_app", broker=os.environ["BENCH_REDIS"])
app.conf.task_ignore_result = True


@app.task(name="one")
def one(key: str) -> None:
    mark("s", key)
    mark("e", key)


@app.task(name="ten")
def ten(key: str) -> None:
    """At most 10 at a time: the pool is smaller than that."""
    one(key)


if __name__ == "__main__":
    from door import sender, serve

    others = {"bench/ten": ten.delay}
    plain = sender(one.delay)
    serve(int(sys.argv[1]), lambda name, data: others[name](data["k"]) if name in others else plain(name, data))
