"""`make demo`: starts `tidemill dev` on the six stories, sends them the events of events/samples over HTTP, follows
their runs to the end, shows what happened when, and looks at what they left behind. Exits 1 if anything is off.

Time is made short by arguments of the events (`day`, `patience`, `minute`); the code is the code that waits for weeks.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from examples.webhooks import senders  # noqa: E402

SAMPLES = ROOT / "events" / "samples"
TARGETS = ["examples/signup", "examples/video", "examples/invoices", "examples/coordination", "examples/limits"]
TARGETS += ["examples/webhooks"]
ENDED = ("completed", "failed", "cancelled", "skipped")
PATIENCE = 25.0  # seconds, for all of it

Run = dict[str, Any]
Delivery = senders.Delivery


class Server:
    """A `tidemill dev` of our own, and the few calls that the demo makes."""

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self.give_up_at = time.monotonic() + PATIENCE

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, json.loads(response.read())

    def send(self, sample: str, **arguments: object) -> list[str]:
        """Send the events of a sample file, with these values in their data; their ids."""
        events = [json.loads(line) for line in (SAMPLES / f"{sample}.ndjson").read_text("utf-8").splitlines()]
        for event in events:
            event["data"].update(arguments)
        status, answer = self.call("POST", "/e/demo", events)
        if status != 200:
            raise SystemExit(f"the events of {sample} were refused: {answer}")
        ids: list[str] = answer["ids"]
        return ids

    def deliver(self, delivery: Delivery, forged: bool = False) -> tuple[int, list[str]]:
        """Post what a vendor sends; the status, and the ids. `forged`: somebody changes the body on the way."""
        path, headers, body = delivery
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("POST", path, body + b" " if forged else body, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read()).get("ids", [])

    def runs(self, event_ids: list[str]) -> list[Run]:
        """The runs that these events started, each with its steps."""
        found = [run for id in event_ids for run in self.call("GET", f"/v1/events/{id}/runs")[1]["data"]]
        ids = dict.fromkeys(run["run_id"] for run in found)  # several events may have gone into one run
        return [self.call("GET", f"/v1/runs/{run_id}")[1]["data"] for run_id in ids]

    def until(self, event_ids: list[str], holds: Callable[[Run], bool]) -> list[Run]:
        """The runs of these events, as soon as this holds for each that goes on; after our patience, as they are."""
        while True:
            runs = self.runs(event_ids)
            if all(holds(run) or run["status"] in ENDED for run in runs) or time.monotonic() > self.give_up_at:
                return runs
            time.sleep(0.05)

    def ended(self, event_ids: list[str]) -> list[Run]:
        return self.until(event_ids, lambda _: False)

    def quiet(self, functions: list[str], count: int) -> None:
        """Wait until so many runs of these functions, started by code, have completed."""
        while time.monotonic() < self.give_up_at:
            lists = [self.call("GET", f"/v1/runs?status=completed&function={name}")[1]["data"] for name in functions]
            if sum(map(len, lists)) >= count:
                return
            time.sleep(0.05)


@contextmanager
def serving(folder: Path) -> Generator[Server]:
    """The server, on a free port, until the block is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tidemill_local.cli", "dev", *TARGETS, "--port", str(port)]
    command += ["--data", str(folder / "server"), "--no-reload"]
    environment = {**os.environ, "TIDEMILL_EXAMPLES": str(folder / "stories")}
    environment |= {"STRIPE_SECRET": senders.STRIPE_SECRET, "GITHUB_SECRET": senders.GITHUB_SECRET}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = Server(port, process)
        began = time.monotonic()
        _await_health(server, log)
        print(f"tidemill dev answers on port {port} after {time.monotonic() - began:.2f} s: {' '.join(TARGETS)}")
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise SystemExit("the server did not stop within 10 s of Ctrl-C") from None


def _await_health(server: Server, log: Path) -> None:
    while time.monotonic() < server.give_up_at and server.process.poll() is None:
        try:
            if server.call("GET", "/health")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise SystemExit(f"tidemill dev did not start:\n{log.read_text('utf-8')}")


# ---- what happened when -------------------------------------------------------------------------------


def show(title: str, runs: list[Run]) -> None:
    """A line for each run, and beneath it one for each step: when it began, how long it took, how it came out."""
    print(f"\n{title}")
    began = min((_time(run["created_at"]) for run in runs), default=0.0)
    for run in sorted(runs, key=lambda run: str(run["created_at"])):
        took = f"{_time(run['ended_at']) - _time(run['created_at']):6.2f} s" if run["ended_at"] else "       -"
        print(f"  {run['function_id']:<22} {run['status']:<10} {took}   {_short(run['output'] or run['error'])}")
        for step in run["steps"]:
            begins, lasts = _time(step["started_at"]) - began, _lasts(step)
            tries = f", {step['attempts']} attempts" if step["attempts"] > 1 else ""
            how = step["status"] + (f": {step['error']['message']}" if step["error"] else "")
            print(f"      at {begins:5.2f} s  for {lasts}  {step['kind']:<6} {step['id']}{tries} → {how}")


def _lasts(step: dict[str, Any]) -> str:
    return f"{_time(step['ended_at']) - _time(step['started_at']):5.2f} s" if step["ended_at"] else "      -"


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 90 else f"{text[:89]}…"


# ---- what they left behind ----------------------------------------------------------------------------


class Verdict:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wrong: list[str] = []

    def equal(self, what: str, found: object, wanted: object) -> None:
        print(f"  {'✓' if found == wanted else '✗'} {what}: {_short(found)}")
        if found != wanted:
            self.wrong.append(f"{what}: {found!r}, not {wanted!r}")

    def rows(self, database: str, query: str) -> list[list[Any]]:
        try:
            with closing(sqlite3.connect(self.folder / f"{database}.sqlite3")) as connection:
                return [list(row) for row in connection.execute(query)]
        except sqlite3.Error as error:
            return [[str(error)]]

    def files(self, name: str) -> list[str]:
        return sorted(file.name for file in (self.folder / name).glob("*"))


def judge(verdict: Verdict, stories: dict[str, list[Run]]) -> None:
    print("\nWhat they left behind")
    outcomes = {
        story: sorted(f"{run['function_id']} {run['status']}" for run in runs) for story, runs in stories.items()
    }
    functions = ["crm.add-contact", "crm.open-trial", "crm.score-lead", "mail.subscribe", "mail.welcome"]
    verdict.equal("runs of one signup", outcomes["signup"], [f"{name} completed" for name in functions])
    tries = {step["id"]: step["attempts"] for run in stories["signup"] for step in run["steps"] if step["attempts"] > 1}
    verdict.equal("attempts beyond the first", tries, {"deliver": 3})
    verdict.equal("contacts", verdict.rows("crm", "SELECT user_id, company FROM contacts"), [["ada", "Lovelace"]])
    verdict.equal("lead scores", verdict.rows("crm", "SELECT score FROM scores"), [[72]])
    verdict.equal("videos", verdict.rows("video", "SELECT video_id, words FROM videos"), [["tide-mills", 356]])
    verdict.equal("its words", verdict.rows("video", "SELECT word FROM words ORDER BY count DESC LIMIT 1"), [["pond"]])
    ends = sorted(run["output"]["status"] if run["output"] else run["status"] for run in stories["invoices"])
    verdict.equal("invoices", ends, ["paid", "paid", "written off"])
    verdict.equal("receipts", verdict.files("receipts"), ["2026-001.txt", "2026-002.txt"])
    verdict.equal("written off", verdict.files("written-off"), ["2026-003.txt"])
    balances = verdict.rows("bank", "SELECT account, sum(cents) FROM ledger GROUP BY account ORDER BY account")
    verdict.equal("balances in cents", balances, [["ada-giro", 38000], ["bob-giro", 11100]])
    verdict.equal("badges", verdict.rows("onboarding", "SELECT user_id FROM badges"), [["ada"]])
    verdict.equal("tickets", verdict.rows("onboarding", "SELECT user_id FROM tickets"), [["bob"]])
    order = [user for user, _, _ in _spans(stories["recordings"])]
    verdict.equal("who was transcribed first", [sorted(order[:2]), order[2:3]], [["ann", "bob"], ["cyd"]])
    verdict.equal("of one user at a time", _most(_spans(stories["recordings"]), by_user=True), 1)
    verdict.equal("of all at a time", _most(_spans(stories["recordings"])), 2)
    started = [_time(run["started_at"]) for run in stories["deliveries"]]
    sent = [_time(run["created_at"]) for run in stories["deliveries"]]
    verdict.equal(
        "the twelfth delivery waited for its turn", max(started, default=0) - min(sent, default=0) >= 1.09, True
    )
    verdict.equal(
        "updates of the index",
        verdict.rows("library", "SELECT * FROM documents ORDER BY 1"),
        [["tides", 1], ["wheels", 1]],
    )
    calls = [("", *call) for call in verdict.rows("model", "SELECT began, ended FROM calls") if len(call) == 2]
    verdict.equal("calls of the model, and never a third at a time", [len(calls), _most(calls) <= 2], [7, True])
    verdict.equal(
        "paid invoices in the books", verdict.rows("books", "SELECT * FROM paid"), [["evt_1", "cus_ada", 4900]]
    )
    verdict.equal("builds", verdict.files("builds"), ["main.txt"])
    pushes = [run["status"] for run in stories["webhooks"] if run["function_id"] == "hooks.build"]
    verdict.equal("of two pushes the last is built", sorted(pushes), ["cancelled", "completed"])
    letters = [name for name in verdict.files("outbox") if "reminder" not in name]
    verdict.equal("letters", letters, ["guide-ada.eml", "guide-bob.eml", "welcome-ada.eml"])


def _spans(runs: list[Run]) -> list[tuple[str, float, float]]:
    """Whose run it was, and from when to when it was under way; in the order in which they began."""
    spans = [(str(run["user"]), _time(run["started_at"]), _time(run["ended_at"])) for run in runs if run["ended_at"]]
    return sorted(spans, key=lambda span: span[1])


def _most(spans: list[tuple[str, float, float]], by_user: bool = False) -> int:
    """How many were under way at once, of one user or of all."""
    return max(
        (
            sum(began <= at < ended and (user == whose or not by_user) for user, began, ended in spans)
            for whose, at, _ in spans
        ),
        default=0,
    )


def play(server: Server) -> dict[str, list[Run]]:
    """Send everything, then follow it; the runs of each story."""
    edits = server.send("edits")  # first: the index waits five seconds for another edit
    recordings = server.send("recordings", minute=0.04)
    deliveries = server.send("deliveries")
    signup = server.send("signup")
    video = server.send("video")
    server.ended(server.send("deposits"))
    invoices = server.send("invoices", day="400ms")
    trials = server.send("trials", patience="2s")
    server.until(trials, lambda run: run["status"] == "waiting")
    server.send("first_project")  # ada makes one; bob does not
    delivered, refused = deliver(server)
    print(f"\nForged webhooks, and what they were answered: {refused}")
    stories = {"signup": server.ended(signup)}
    show("One event, five functions in two apps; the relay refuses the letter twice", stories["signup"])
    stories["video"] = server.ended(video)
    show("A video: transcribed, counted and summarized, written to a database", stories["video"])
    stories["coordination"] = server.ended(trials)
    show("A, then B if the event comes, else C", stories["coordination"])
    server.until(invoices[1:2], lambda run: any(step["id"] == "remind" for step in run["steps"]))
    server.send("late_deposit")  # bob pays when he is reminded; eve never does
    stories["invoices"] = server.ended(invoices)
    show("Three invoices, a day being 0.4 s: due, charged, reminded, receipted or given up", stories["invoices"])
    stories["recordings"] = server.ended(recordings)
    show("Recordings, a minute being 0.04 s: one of a user at a time, two in all, pro first", stories["recordings"])
    stories["deliveries"] = server.ended(deliveries)
    show("Twelve calls of an API that allows ten a second", stories["deliveries"])
    stories["edits"] = server.ended(edits)
    show("Four edits of two documents: the index is updated twice", stories["edits"])
    stories["webhooks"] = server.ended(delivered)
    show("Stripe tells twice of an invoice, GitHub of two pushes", stories["webhooks"])
    server.quiet(["studio.summarize", "library.describe"], 7)
    return stories


def deliver(server: Server) -> tuple[list[str], list[int]]:
    """The ids of what Stripe and GitHub have sent, and what forgers were answered."""
    invoice = senders.stripe("evt_1", "cus_ada", 4_900, int(time.time()))
    pushes = [senders.github(f"delivery-{number}", "main", f"{number}" * 40, "1s") for number in (1, 2)]
    answers = [server.deliver(one) for one in (invoice, invoice, *pushes)]
    old = senders.stripe("evt_2", "cus_eve", 1, int(time.time()) - 3_600)
    refused = [
        server.deliver(invoice, forged=True)[0],
        server.deliver(old)[0],
        server.deliver(pushes[0], forged=True)[0],
    ]
    if [status for status, _ in answers] != [200] * 4 or refused != [401] * 3:
        raise SystemExit(f"webhooks were answered {answers}, forged ones {refused}")
    return [id for _, ids in answers[1:] for id in ids], refused


def main() -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tidemill-demo-") as name:
        folder = Path(name)
        with serving(folder) as server:
            stories = play(server)
        verdict = Verdict(folder / "stories")
        judge(verdict, stories)
        verdict.equal("the server's exit code", server.process.returncode, 0)
        if verdict.wrong:
            log = (folder / "server.log").read_text("utf-8")
            print("\nNot as it should be:", *verdict.wrong, f"\nThe server said:\n{log}", sep="\n  ")
            return 1
    print(f"\nAll as it should be, after {time.monotonic() - began:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
