"""A team's own Lambda: it imports nothing of Tidemill's. The first attempt of `quick` fails; `late` takes its time."""

import os
import time


def handler(event, context):
    about = event["ctx"]
    if about["step_id"] == "quick" and about["attempt"] == 1:
        raise ConnectionError("no answer to the first call")
    if about["step_id"] == "late":
        time.sleep(event["event"]["data"]["for"])
    return {
        "step": about["step_id"],
        "attempt": about["attempt"],
        "after": event["steps"],
        "pid": os.getpid(),
        "ms": context.get_remaining_time_in_millis(),
    }
