"""`Mill`: the whole platform in a test, on virtual time.

The engine is the one that runs in AWS and in `tidemill dev`, the stores are the dev server's, in memory. The clock
does not move while code runs, and moves only when the test says so: months pass in milliseconds, and nothing is mocked
except the steps that the test stubs.
"""

from tidemill_local.testing.doubles import Stub, StubCall
from tidemill_local.testing.machine import EPOCH, SeededEntropy, VirtualClock
from tidemill_local.testing.mill import HttpAnswer, Mill
from tidemill_local.testing.run import Run, RunError, RunStep
from tidemill_local.testing.sent import Sent

__all__ = [
    "EPOCH",
    "HttpAnswer",
    "Mill",
    "Run",
    "RunError",
    "RunStep",
    "SeededEntropy",
    "Sent",
    "Stub",
    "StubCall",
    "VirtualClock",
]
