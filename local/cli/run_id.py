"""The id of a run as people write it: whole, or its last 8 characters, which stand for it among the newest 1,000."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill_local.cli.stop import FAILED, Stop

if TYPE_CHECKING:
    from tidemill_local.cli.http import Api

SHORT = 8  # characters, as `tidemill dev` shows them
_NEWEST = 1_000  # runs among which they are looked for


def path_of(server: Api, given: str) -> str:
    """The path of the run. Raises Stop where a short id stands for none, or for several."""
    from tidemill_local.cli.http import part

    return f"/v1/runs/{part(whole(server, given) if len(given) == SHORT else given)}"


def whole(server: Api, short: str) -> str:
    runs = server.pages("/v1/runs", _NEWEST)
    found = [run["run_id"] for run in runs if run["run_id"].endswith(short.upper())]
    if len(found) == 1:
        id: str = found[0]
        return id
    if not found:
        raise Stop(FAILED, f"none of the newest {_NEWEST:,} runs has an id that ends in {short!r}; give the whole id")
    raise Stop(FAILED, f"{short!r} stands for {len(found)} runs; give one of these ids: {', '.join(found[:10])}")
