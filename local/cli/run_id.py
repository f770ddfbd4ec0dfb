"""Resolves a run's id on the command line: the whole id, or its last 8 characters among the newest 1,000 runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill_local.cli.meant import meant
from tidemill_local.cli.stop import FAILED, Stop

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill_local.cli.http import Api

SHORT = 8  # characters, as `tidemill dev` shows them
_NEWEST = 1_000  # the newest runs, which a short id is searched in


def asked(server: Api, given: str, ask: Callable[[str], Any]) -> Any:
    """The result of `ask`, called with the run's path. The error for an unknown id suggests similar ids."""
    from tidemill_local.cli.http import Refusal, part

    run_id = whole(server, given) if len(given) == SHORT else given
    try:
        return ask(f"/v1/runs/{part(run_id)}")
    except Refusal as refusal:
        newest = _newest(server) if refusal.status == 404 else []
        like = meant(given.upper(), newest)
        if not like or run_id in newest:
            raise
        raise Stop(FAILED, f"no run has the id {given!r}{like}") from None


def whole(server: Api, short: str) -> str:
    newest = _newest(server)
    found = [run_id for run_id in newest if run_id.endswith(short.upper())]
    if len(found) == 1:
        id: str = found[0]
        return id
    if not found:
        like = meant(short.upper(), (run_id[-SHORT:] for run_id in newest))
        what = like or "; give the whole id"
        raise Stop(FAILED, f"none of the newest {_NEWEST:,} runs has an id that ends in {short!r}{what}")
    raise Stop(FAILED, f"{short!r} stands for {len(found)} runs; give one of these ids: {', '.join(found[:10])}")


def _newest(server: Api) -> list[str]:
    return [run["run_id"] for run in server.pages("/v1/runs", _NEWEST)]
