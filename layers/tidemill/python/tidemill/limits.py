"""Every limit of the platform, in one place. Sizes are bytes, times are milliseconds."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB
SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# Events. An event must fit an SQS message (1 MiB) with the platform's envelope and JSON escapes around it.
EVENT_BYTES: Final = 768 * KIB
REQUEST_BYTES: Final = 4 * MIB
REQUEST_EVENTS: Final = 5_000
EVENT_NAME_CHARS: Final = 256
EVENT_ID_CHARS: Final = 256
SCHEMA_BYTES: Final = 128 * KIB  # of the JSON Schema of an event's version
SCHEMA_VERSIONS: Final = 100  # of one event's name
JSON_DEPTH: Final = 100  # deeper than any real payload, shallow enough for every decoder's recursion
EVENT_ID_MEMORY: Final = DAY  # an event's id is idempotent for at least this long
SKEW: Final = MINUTE  # how far two clocks of the platform may be apart
RETENTION_REJECTED: Final = 14 * DAY
EVENT_RETENTION: Final = 60 * DAY  # in AWS; the local store expires nothing
DELAY: Final = 366 * DAY  # how far in the future an event's ts may lie

# Functions.
TRIGGERS: Final = 10
CANCEL_ON: Final = 5
RETRIES_DEFAULT: Final = 4
RETRIES: Final = 20
BATCH_EVENTS: Final = 100
FUNCTION_ID_CHARS: Final = 128
EXPRESSION_CHARS: Final = 2_048
EXPRESSION_STEPS: Final = 100_000  # most operations of one evaluation, about 20 ms; beyond, the expression has no value
EXPRESSION_LOOPS: Final = 3  # all(), exists(), map(), … within each other

# Flow control.
PRIORITY: Final = 600  # seconds, either way
IDEMPOTENCY_MEMORY: Final = DAY
DEBOUNCE_EVENTS: Final = 100  # event ids that a debounced run shows: the latest
DROPPED_EVENTS: Final = 50  # a long debounce drops superseded events each time this many have come
KEY_LABEL_CHARS: Final = 64
GRANT: Final = 5 * MINUTE  # how long a place is reserved for the next run in line, until that run is claimed
TOP_KEYS: Final = 10

# Steps.
STEP_ID_CHARS: Final = 256
SLEEP: Final = 366 * DAY
NEWS: Final = 5.0  # seconds between two reads of a run's journal while one of its steps executes
NEWS_LOCAL: Final = 0.05  # the same where the store is on this machine
BLOCKING_CALLS: Final = 32  # sync functions of one async run that execute at the same time
MAP_ITEMS: Final = 100_000
MAP_CHUNKS: Final = 256  # a parent's counter is brought to its total by at most this many writers

# Lookback: search for an event that came before its wait was reached.
LOOKBACK_EVENTS: Final = 10_000

# What a run's `ctx.logger` said, where Tidemill keeps it. In AWS CloudWatch Logs keeps it.
LOG_LINES: Final = 1_000  # of a run: its latest
LOG_BYTES: Final = 256 * KIB  # of a run
LOG_MESSAGE: Final = 8_000  # characters of one line
LOG_EXECUTION: Final = 10_000  # lines that one execution of a run may hand over

# Journals.
SNAPSHOT_RECORDS: Final = 100
SNAPSHOT_BYTES: Final = 256 * KIB
PARK_RECORDS: Final = 64  # a shorter run is replayed in less time than it takes to keep its code
PARKED: Final = 32  # runs whose code one process keeps
WARM_FROM: Final = 16 * KIB  # a shorter journal is read again: one call in AWS, where a warm read takes two
WARM_BYTES: Final = 16 * MIB  # size of the journals that one process caches, so that it reads only newer records
WARM_RUNS: Final = 1_000
RECHECK: Final = HOUR  # every open run is checked at least this often
RUN_RETENTION: Final = 60 * DAY  # in AWS a run and its journal expire this long after the run's end
RECORD_LIFE: Final = RUN_RETENTION + 7 * DAY  # of a record in AWS: one of a run of a week outlives its end long enough
RENEW_BEFORE: Final = 14 * DAY  # an open run is renewed this long before the first of its items expires
MESSAGE_DELAY: Final = 15 * MINUTE  # a queue delays a message for at most this long; a later one takes a schedule

# The HTTP API.
PAGE: Final = 50
PAGE_MOST: Final = 1_000
LAMBDA_BYTES: Final = 6 * MIB  # most bytes of a Lambda's input or output, as JSON
ANSWER_BYTES: Final = 4 * MIB  # most bytes of a body: as base64 it always fits into a Lambda's output
VALUE_BUNDLED: Final = 16 * KIB  # larger values of an exported run stand apart from its records
VALUE_INLINE: Final = 64 * KIB  # larger outputs are shown as {"$large": url, "bytes": n}
