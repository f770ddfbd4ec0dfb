"""The one-step function as a dramatiq actor on Redis; run as a program it is the door."""

from __future__ import annotations

import os
import sys

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from mark import mark

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_REDIS"]))


@dramatiq.actor(actor_name="one")
def one(key: str) -> None:
    mark("s", key)
    mark("e", key)


if __name__ == "__main__":
    from door import sender, serve

    serve(int(sys.argv[1]), sender(one.send))
