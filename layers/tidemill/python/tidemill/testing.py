"""`Mill`: the whole platform in a test's process, on virtual time."""

from tidemill_local.testing import HttpAnswer, Mill, Run, RunError, RunStep, Sent, Stub, StubCall

__all__ = ["HttpAnswer", "Mill", "Run", "RunError", "RunStep", "Sent", "Stub", "StubCall"]
