"""Computes the usage of a limit for people, with bounded work for any number of keys and runs.

An index lists the keys of a limit that were used in the last days, and their items are read. Lines are read if there
are any, the fullest keys first, and only the start of a long one. So for a limit with more than `KEYS` keys, or lines
longer than `IN_LINE`, the answer is a lower bound: it takes a second at most.
"""

from __future__ import annotations

from tidemill.aws.dynamo.flow_pool import HELD, KEY_SHARDS, LABEL, LINE, POOL
from tidemill.aws.dynamo.keys import BY_FUNCTION, flow_key, keys_key, line_key
from tidemill.aws.dynamo.table import Item, Table
from tidemill.ports import Usage

KEYS = 2_000  # of one limit
LINES = 100  # lines that are read
IN_LINE = 1_000  # runs of one line


def usage(table: Table, family: str, top: int) -> list[Usage]:
    """The port's `usage`. A limit without a key has one item, which is in no index."""
    pools = {f"{family}/": pool for pool in [table.get(flow_key(f"{family}/"), POOL)] if pool is not None}
    if not pools:
        pools = _keyed(table, family)
    used = {key: sum(name[0] == HELD for name in pool) for key, pool in pools.items()}
    lined = sorted((key for key, pool in pools.items() if LINE in pool), key=lambda key: (-used[key], key))
    found = [_usage(table, key, pools[key], used[key], key in set(lined[:LINES])) for key in pools]
    there = [each for each in found if each.used or each.waiting]
    oldest = [each.oldest for each in there if each.oldest is not None]
    total = Usage("", sum(u.used for u in there), sum(u.waiting for u in there), min(oldest, default=None))
    there.sort(key=lambda u: (-u.waiting, -u.used, u.oldest or 0, u.label))
    return [total, *there[:top]]


def lines(table: Table, family: str) -> list[tuple[str, str]]:
    """The port's `lines`; at most `KEYS` keys of a limit."""
    pools = {f"{family}/": pool for pool in [table.get(flow_key(f"{family}/"), POOL)] if pool is not None}
    pools |= _keyed(table, family)
    return [(key, _label(pool)) for key, pool in pools.items() if LINE in pool]


def _label(pool: Item) -> str:
    return pool[LABEL].decode("utf-8", "surrogatepass") if LABEL in pool else ""


def _keyed(table: Table, family: str) -> dict[str, Item]:
    keys = [
        f"{family}/{item[BY_FUNCTION.sk]}"
        for number in range(KEY_SHARDS)
        for item in table.query(keys_key(family, number), index=BY_FUNCTION, limit=KEYS // KEY_SHARDS)
    ]
    found = table.get_many([(flow_key(key), POOL) for key in keys])
    return {key: found[flow_key(key), POOL] for key in keys if (flow_key(key), POOL) in found}


def _usage(table: Table, key: str, pool: Item, used: int, looked: bool) -> Usage:
    waiting = list(table.query(line_key(key), strong=False, limit=IN_LINE, only=("s",))) if looked else []
    return Usage(_label(pool), used, len(waiting), min((item["s"] for item in waiting), default=None))
