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


if __name__ == "__main__":
    from door import sender, serve

    serve(int(sys.argv[1]), sender(one.delay))
