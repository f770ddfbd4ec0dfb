"""A deployment in the emulated account, or a real one, as its users see it: over HTTP, events in and runs out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from e2e_aws.account import Account
from support.emulator import Emulator, eventually

ENDED = {"completed", "failed", "cancelled", "skipped"}


class Deployed:
    """`name` is the deployment's; `event_key` and `api_key` are those that its secrets hold."""

    def __init__(self, emulator: Emulator | Account, name: str, event_key: str, api_key: str) -> None:
        self.emulator = emulator
        self.name = name
        self.event_key = event_key
        self.api_key = api_key

    def send(self, name: str, data: dict[str, Any] | None = None, **rest: Any) -> str:
        """The event's id."""
        return self.send_all([{"name": name, "data": data or {}, **rest}])[0]

    def send_all(self, events: list[dict[str, Any]]) -> list[str]:
        status, answer = self.emulator.ask("POST", f"/e/{self.event_key}", events)
        assert status == 200, answer
        return list(answer["ids"])

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.emulator.ask(method, path, body, {"Authorization": f"Bearer {self.api_key}"})

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, answer
        return answer["data"]

    def runs(self, event_id: str) -> list[dict[str, Any]]:
        status, answer = self.ask("GET", f"/v1/events/{event_id}/runs")
        assert status in (200, 404), answer  # an event appears within about a second
        return answer["data"] if status == 200 else []

    def run(self, event_id: str, function: str, within: float = 60.0) -> dict[str, Any]:
        """The run of a function that the event started."""
        return self.run_of(eventually(lambda: self._of(event_id, function), within)["run_id"])

    def run_of(self, run_id: str) -> dict[str, Any]:
        run = self.get(f"/v1/runs/{run_id}")
        return {**run, "steps": {step["name"]: step for step in run["steps"]}}

    def until(
        self, event_id: str, function: str, done: Callable[[dict[str, Any]], bool], within: float = 60.0
    ) -> dict[str, Any]:
        """The run, once `done` is true of it."""
        run_id = self.run(event_id, function, within)["run_id"]

        def look() -> dict[str, Any] | None:
            run = self.run_of(run_id)
            return run if done(run) else None

        try:
            return eventually(look, within)
        except AssertionError:
            raise AssertionError(json.dumps(self.run_of(run_id), indent=1)[:6000]) from None

    def at(self, status: str, event_id: str, function: str, within: float = 60.0) -> dict[str, Any]:
        """The run, once it has that status; fails at once if it has ended otherwise."""

        def done(run: dict[str, Any]) -> bool:
            assert run["status"] == status or run["status"] not in ENDED, json.dumps(run, indent=1)[:6000]
            return bool(run["status"] == status)

        return self.until(event_id, function, done, within)

    def output(self, event_id: str, function: str, within: float = 60.0) -> Any:
        """What the run has given back, once it is completed."""
        return self.at("completed", event_id, function, within)["output"]

    def lambda_(self, what: str) -> str:
        """The name that AWS gave to one of the platform's Lambdas."""
        functions = self.emulator.client("lambda").list_functions()["Functions"]
        [name] = [
            one["FunctionName"] for one in functions if one["Handler"] == f"tidemill_lambdas.{what}.entry.handler"
        ]
        return str(name)

    def noted(self, name: str) -> list[str]:
        """The processes that have noted it, in order."""
        path: Path = self.emulator.folder / "tmp" / "notes" / name
        return path.read_text().split() if path.exists() else []

    def _of(self, event_id: str, function: str) -> dict[str, Any] | None:
        return next((run for run in self.runs(event_id) if run["function_id"] == function), None)
