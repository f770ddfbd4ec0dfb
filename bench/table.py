"""Results as a table of ratios: printed, and written into README.md between its markers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

from peers import PEERS
from work import WORK
from work.base import Reach, Row

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


class Result(TypedDict):
    """One workload, everyone in the same run: metrics by peer (the median of the rounds), each round, skips."""

    work: str
    quick: bool
    when: str
    machine: dict[str, str]
    values: dict[str, dict[str, float]]
    rounds: dict[str, list[dict[str, float]]]
    skipped: dict[str, str]


def figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def cell(row: Row, value: float | None, ours: float | None) -> str:
    """The value, and how it compares with Tidemill's."""
    if value is None:
        return "-"
    text = f"{figure(value)} {row.unit}".strip()
    if ours is None or not row.unit or not ours:
        return text
    return f"{text} ({figure(value / ours)}x)"


def verdict(reach: Reach, unit: str, ours: float, theirs: float | None) -> str:
    text = reach.text(f"x {PEERS[reach.peer].label}" if reach.peer else unit)
    if reach.peer and not theirs:
        return f"{text}: not measured"
    value = ours / theirs if reach.peer and theirs else ours
    return f"{text}: {figure(value)} {'✓' if reach.holds(value) else '**✗**'}"


def lines(result: Result, peers: list[str]) -> list[str]:
    out: list[str] = []
    for row in WORK[result["work"]].ROWS:
        got = {peer: values.get(row.metric) for peer, values in result["values"].items()}
        ours = got.get("tidemill")
        cells = [cell(row, got.get(peer), None if peer == "tidemill" else ours) for peer in peers]
        reach = "; ".join(verdict(r, row.unit, ours, got.get(r.peer)) for r in row.reach) if ours is not None else ""
        out.append(f"| {row.title} | {' | '.join(cells)} | {reach} |")
    return out


def table(results: list[Result]) -> str:
    seen = {peer for result in results for peer in result["values"]}
    peers = [peer for peer in PEERS if peer in seen]
    head = f"| Work | {' | '.join(PEERS[p].label for p in peers)} | Reach: ours |"
    body = [line for result in results for line in lines(result, peers)]
    return "\n".join([head, "|" + "---|" * (len(peers) + 2), *body])


def footnote(result: Result) -> str:
    machine = result["machine"]
    skips = "; ".join(f"{name}: {why}" for name, why in result["skipped"].items())
    return (
        f"Measured {result['when']} on {machine['cores']} cores ({machine['cpu']}), {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}." + (f" Not run: {skips}." if skips else "")
    )


def load(folder: Path) -> list[Result]:
    paths = [folder / f"{name}.json" for name in WORK]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def write_readme(readme: Path, results: list[Result]) -> None:
    before, _, rest = readme.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    notes = "\n\n".join(dict.fromkeys(footnote(result) for result in results))
    readme.write_text(f"{before}{BEGIN}\n{table(results)}\n\n{notes}\n{END}{after}")
