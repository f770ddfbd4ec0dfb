"""Takes a run and the runs that it started from a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tidemill_local.cli.stop import FAILED, Stop

if TYPE_CHECKING:
    from tidemill_local.cli.http import Api

MOST = 10_000  # runs of one file


def run_of(server: Api, path: str) -> dict[str, Any]:
    """The run at this path and its children, theirs among them."""
    return _Collector(server).run(path)


def pages_of(server: Api, path: str) -> dict[str, Any]:
    """One run, its pages put together; of its children only the ids."""
    run: dict[str, Any] = {}
    cursor: str | None = None
    while True:  # ends: each page begins after the one before
        page, cursor = server.page(f"{path}/export", cursor=cursor)
        if not run:
            run = page
        else:
            run["events"] += page["events"]
            run["records"] += page["records"]
            run["blobs"] |= page["blobs"]
            run["children"] = page["children"]
        if cursor is None:
            return run


class _Collector:
    def __init__(self, server: Api) -> None:
        self._server = server
        self._count = 0

    def run(self, path: str) -> dict[str, Any]:
        self._count += 1
        if self._count > MOST:
            raise Stop(FAILED, f"this run has started more than {MOST:,} others; export one of these instead")
        run = pages_of(self._server, path)
        run["children"] = [self._child(child) for child in run["children"]]
        return run

    def _child(self, child: dict[str, Any]) -> dict[str, Any]:
        from tidemill_local.cli.http import part

        found = self.run(f"/v1/runs/{part(child['run_id'])}")
        return {"step": child["step"], "kind": child["kind"], **found}
