"""The tables of docs/aws/costs.md and docs/aws/scale.md, made from the counted stories. `python tests/counts/pages.py`
writes them, and stories.json with them; the tests hold that nothing has changed since."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]


from tidemill_local.cost import scale  # noqa: E402
from tidemill_local.cost.beside import beside  # noqa: E402
from tidemill_local.cost.data import Story, prices, quotas, stories  # noqa: E402
from tidemill_local.cost.estimate import Line, arriving, idle, per_million, running, total  # noqa: E402
from tidemill_local.cost.usage import Usage  # noqa: E402

DATA = ROOT / "local" / "cost" / "stories.json"
PAGES = [ROOT / "docs" / "aws" / name for name in ("costs.md", "counted-calls.md", "scale.md", "quotas.md")]
RATES = (10, 1_000, 100_000)
_TABLE = re.compile(r"(<!-- table: ([a-z]+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def million(architecture: str = "arm64") -> Usage:
    """A million runs of ten steps of 100 ms at 256 MB, each started by an event of its own."""
    return Usage(1, 1_000_000, 1_000_000, 0, 10, 100, 256, architecture)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def bill() -> str:
    """What a million ten-step runs cost, line by line."""
    rows: list[list[str]] = []
    sections = (running(million()), arriving(million()))
    for lines in sections:
        rows += [[one.service, one.what, _count(one.count), _price(one), f"{one.usd:.2f}"] for one in lines]
        rows.append([f"**{lines[0].section}**", "", "", "", f"**{total(lines):.2f}**"])
    rows.append(["**Together**", "", "", "", f"**{sum(map(total, sections)):.2f}**"])
    return markdown(("Service", "What", "Count", "$ each", "$"), rows)


def elsewhere() -> str:
    rows = [(name, f"{total(lines):.2f}") for name, lines in beside(million()).items()]
    ours = total(running(million()))
    return markdown(("A million ten-step runs, without events", "$"), [("Tidemill", f"{ours:.2f}"), *rows])


def uses() -> str:
    """What each story uses, by unit."""
    header = ("What happens", "Table writes", "Index writes", "Reads", "SQS", "Lambda", "Else", "$ a million")
    return markdown(header, [_uses(name, story) for name, story in stories().items()])


def calls() -> str:
    """What each story calls."""
    rows = [
        (story.what, ", ".join(f"{_plain(count)} {call}" for call, count in story.calls.items()) or "nothing more")
        for story in stories().values()
    ]
    return markdown(("What happens", "Calls of AWS"), rows)


def idling() -> str:
    lines = idle(Usage(1, 0, 0, 0, 0, 0, 256))
    rows = [(one.service, one.what, _count(one.count), _price(one), f"{one.usd:.2f}") for one in lines]
    rows.append(("**A deployment with one function**", "", "", "", f"**{total(lines):.2f}**"))
    return markdown(("Service", "What", "Count", "$ each", "$ a month"), rows)


def priced() -> str:
    rows = [
        (price.service, price.what, f"{price.usd:g}" + ("" if price.per == 1 else " a million"), f"<{price.source}>")
        for price in prices().prices.values()
    ]
    return markdown(("Service", "What", "$", "Source"), rows)


def binding() -> str:
    """For each rate, how much of each limit is used; the limits by what binds first."""
    work = scale.Work(functions=10, names=10)
    columns = [{(load.quota, load.key): load for load in scale.loads(rate, work)} for rate in RATES]
    rows: list[list[str]] = []
    for load in scale.loads(1.0, work):
        shares = [column[load.quota, load.key].share for column in columns]
        if shares[-1] >= 0.01:
            most = f"{load.quota.most:,.0f} {load.quota.what}, {_each(load)}"
            rows.append([load.quota.service, most, *[_share(share) for share in shares], f"{1 / load.share:,.0f}"])
    header = ("Service", "Limit", *[f"{rate:,} runs/s" for rate in RATES], "Enough for runs/s")
    return markdown(header, rows)


def alone() -> str:
    """What one function, or one name of events, can do by itself: the limits that more of them would spread."""
    one, ten = scale.loads(1.0, scale.Work()), scale.loads(1.0, scale.Work(functions=10, names=10))
    spread = {(load.quota, load.key): load.share for load in ten}
    rows = [
        (load.quota.service, f"{load.quota.most:,.0f} {load.quota.what}, {_each(load)}", f"{1 / load.share:,.0f}")
        for load in one
        if spread[load.quota, load.key] < load.share
    ]
    return markdown(("Service", "Limit", "Enough for runs/s"), rows)


def raising() -> str:
    rows = [(q.service, f"{q.what}, each {q.each}", f"{q.most:,.0f}", q.raise_by) for q in quotas().quotas.values()]
    return markdown(("Service", "Limit", "Default", "What to do about it"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "bill": bill, "elsewhere": elsewhere, "uses": uses, "calls": calls, "idle": idling, "prices": priced,
    "binding": binding, "alone": alone, "raising": raising,
}  # fmt: skip


def filled(page: str, tables: Mapping[str, Callable[[], str]] = TABLES) -> str:
    """The page with its tables as they are now."""
    return _TABLE.sub(lambda found: f"{found[1]}{tables[found[2]]()}\n{found[4]}", page)


def written(table: dict[str, dict[str, Any]]) -> str:
    """stories.json, a story a paragraph."""
    parts = [f"  {json.dumps(name)}: {_story(story)}" for name, story in table.items()]
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _story(story: dict[str, Any]) -> str:
    return "{\n" + ",\n".join(f"    {json.dumps(key)}: {json.dumps(value)}" for key, value in story.items()) + "\n  }"


def _uses(name: str, story: Story) -> list[str]:
    units = dict(story.units)
    counted = [units.pop(unit, 0) for unit in ("writes", "index-writes", "reads", "sqs-requests")]
    invoked = sum(kind.invocations for kind in story.lambdas.values())
    about = prices().prices
    rest = ", ".join(f"{_plain(count)} {about[unit].service}" for unit, count in units.items())
    return [story.what, *map(_plain, counted), _plain(invoked), rest, f"{per_million(name):.2f}"]


def _each(load: scale.Load) -> str:
    return f"`{load.key}`" if load.key else f"each {load.quota.each}"


def _share(share: float) -> str:
    text = f"{share:,.0%}" if share >= 0.01 else "< 1%"
    return f"**{text}**" if share > 1 else text


def _count(count: float) -> str:
    return f"{count:,.0f}"


def _price(one: Line) -> str:
    return f"{one.usd_per:g}" if one.per == 1 else f"{one.usd_per:g} a million"


def _plain(count: float) -> str:
    return f"{count:g}" if count else ""


if __name__ == "__main__":
    from counts.stories import table

    DATA.write_text(written(table()), encoding="utf-8")
    stories.cache_clear()
    for path in PAGES:
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
