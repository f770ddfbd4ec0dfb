"""Tidemill: durable functions that events start. This is the public API."""

from tidemill.app import App
from tidemill.errors import (
    ApiError,
    DeclarationError,
    EventError,
    JournalError,
    NonDeterministicError,
    NonRetriableError,
    RetryAfterError,
    StepError,
    StepTimeoutError,
    TidemillError,
)
from tidemill.sdk.context import AsyncContext, Context
from tidemill.sdk.event_view import EventView
from tidemill.sdk.flow import Backoff, Batch, CancelOn, Concurrency, Debounce, RateLimit, Singleton, Throttle, Timeouts
from tidemill.sdk.function import Function
from tidemill.sdk.triggers import Cron, Event, Wait

__all__ = [
    "ApiError",
    "App",
    "AsyncContext",
    "Backoff",
    "Batch",
    "CancelOn",
    "Concurrency",
    "Context",
    "Cron",
    "Debounce",
    "DeclarationError",
    "Event",
    "EventError",
    "EventView",
    "Function",
    "JournalError",
    "NonDeterministicError",
    "NonRetriableError",
    "RateLimit",
    "RetryAfterError",
    "Singleton",
    "StepError",
    "StepTimeoutError",
    "Throttle",
    "TidemillError",
    "Timeouts",
    "Wait",
]
