"""`tidemill dev` with real processes: it runs functions, and nothing is lost when anything of it is killed."""

from __future__ import annotations

import os
import signal
import socket

import pytest
from e2e.devserver import PATIENCE, DevServer, eventually, free_port

SHOP = """
import os, time
from pathlib import Path
from tidemill import App, Context

app = App("shop")

def note(line):
    with open("notes.txt", "a") as file:
        file.write(line + "\\n")

@app.function(on="item/sold")
def ship(ctx: Context):
    ctx.step.run("ship", note, ctx.run_id)
    return ctx.event.data

@app.function(on="item/slow")
def slow(ctx: Context):
    ctx.step.run("first", note, "first")
    ctx.step.run("wait", time.sleep, ctx.event.data.get("seconds", 0.5))
    ctx.step.run("last", note, "last")

@app.function(on="item/later")
def later(ctx: Context):
    ctx.step.sleep("nap", "1s")
    ctx.step.run("wake", note, "awake")

@app.function(on="item/reserved")
async def reserve(ctx):
    return await ctx.step.run("reserve", lambda: 7)
"""


def test_an_event_becomes_a_completed_run(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/sold", {"n": 1})
    dev.send("item/reserved")
    dev.send("nobody/listens")
    eventually(lambda: dev.completed(2))
    assert len(dev.lines("notes.txt")) == 1
    assert dev.stop() == 0
    assert not dev.descendants()


def test_a_folder_is_the_default_target(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.write("other.py", "raise RuntimeError('no app, so never imported')")
    dev.write("program.sh", "echo '{\"sold\": true}'")
    dev.write("Dockerfile", 'ENTRYPOINT ["sh", "program.sh"]')
    step = '{"path": "file://.", "runtime": {"type": "docker"}}'
    trigger = '{"event": "item/sold"}'
    dev.write(
        "tell.function.json", f'{{"name": "Tell", "id": "tell", "triggers": [{trigger}], "steps": {{"a": {step}}}}}'
    )
    dev.start()
    dev.send("item/sold")
    eventually(lambda: dev.completed(2))


def test_a_sleeping_run_wakes_after_a_restart(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/later")
    eventually(lambda: dev.statuses() == {"sleeping": 1})
    assert dev.stop() == 0
    dev.start("shop.py")
    eventually(lambda: dev.completed(1))
    assert dev.lines("notes.txt") == ["awake"]


@pytest.mark.parametrize("what", ["worker", "zygote", "server", "all"])
def test_kill_9_of_anything_loses_nothing(dev: DevServer, what: str) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/sold", count=100)
    dev.send("item/slow", count=4)
    eventually(lambda: dev.statuses().get("completed", 0) > 10)
    if what in ("worker", "zygote"):
        os.kill(getattr(dev, what)(), signal.SIGKILL)
    else:
        pids = dev.descendants() if what == "all" else []
        for pid in [*pids, dev.process.pid]:
            os.kill(pid, signal.SIGKILL)
        dev.process.wait()
        eventually(lambda: not dev.descendants())
        dev.start("shop.py")
    eventually(lambda: dev.completed(104))
    shipped = [line for line in dev.lines("notes.txt") if line not in ("first", "last")]
    assert len(set(shipped)) == 100
    assert len(shipped) - 100 <= 32  # a step that was running may have run twice


def test_ctrl_c_hands_a_running_step_over(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/slow", {"seconds": 600})
    eventually(lambda: dev.lines("notes.txt") == ["first"])
    assert dev.stop() == 0
    assert not dev.descendants()
    dev.write("shop.py", SHOP.replace('ctx.event.data.get("seconds", 0.5)', "0"))
    dev.start("shop.py")
    eventually(lambda: dev.completed(1))
    assert dev.lines("notes.txt") == ["first", "last"]


def test_a_second_ctrl_c_ends_at_once(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/slow", {"seconds": 600})
    eventually(lambda: dev.lines("notes.txt") == ["first"])
    dev.process.send_signal(signal.SIGINT)
    eventually(lambda: dev.refuses())
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(PATIENCE) in (0, 130)
    eventually(lambda: not dev.descendants())


def test_a_reload_resumes_runs_on_the_new_code(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/slow", {"seconds": 1})
    eventually(lambda: dev.lines("notes.txt") == ["first"])
    dev.write("shop.py", SHOP.replace('note, "last"', 'note, "new"'))
    eventually(lambda: dev.completed(1))
    assert dev.lines("notes.txt") == ["first", "new"]
    eventually(lambda: len(dev.descendants()) == 2)  # the old worker has gone


def test_no_reload_keeps_the_code(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py", "--no-reload")
    dev.write("shop.py", SHOP.replace("ctx.run_id", '"new"'))
    dev.send("item/sold")
    eventually(lambda: dev.completed(1))
    assert dev.lines("notes.txt") != ["new"]


def test_code_that_cannot_be_loaded_is_explained_and_mended(dev: DevServer) -> None:
    dev.write("shop.py", "import tidemill\nfrom tidemill import App\n\napp = App('shop')\nboom()\n")
    dev.port = free_port()
    dev.launch("shop.py")
    eventually(lambda: "shop.py, line 5" in dev.output())
    status, answer = dev.ask("GET", "/health")
    assert status == 503
    assert "NameError: name 'boom' is not defined" in answer["error"]
    assert dev.ask("POST", "/e/k", {"name": "item/sold"})[0] == 503
    assert "Traceback" not in dev.output()
    dev.write("shop.py", SHOP)
    eventually(dev.healthy)
    dev.write("shop.py", "def (")
    eventually(lambda: "SyntaxError" in dev.output())
    dev.send("item/sold")  # the code loaded before goes on
    eventually(lambda: dev.completed(1))
    os.kill(dev.worker(), signal.SIGKILL)  # until it dies: then only the code that is there now can be loaded
    eventually(lambda: not dev.healthy())
    dev.write("shop.py", SHOP)
    eventually(dev.healthy)


FATAL = {
    "os._exit(4)": "ended with exit code 4",
    "os.kill(os.getpid(), 11)": "was killed by SIGSEGV",
}


@pytest.mark.parametrize("code", FATAL)
def test_code_that_ends_the_process_when_it_is_imported_stops_no_other(dev: DevServer, code: str) -> None:
    told = f"more.py: the process {FATAL[code]} while this was imported"
    fatal = f"import os\nfrom tidemill import App\napp = App('more')\n{code}\n"
    dev.write("shop.py", SHOP)
    dev.write("more.py", "from tidemill import App\napp = App('more')\n")
    dev.start()
    worker = dev.worker()
    dev.write("more.py", fatal)
    eventually(lambda: told in dev.output())
    assert "until this is fixed, the code loaded before goes on" in dev.output()
    dev.send("item/sold")
    eventually(lambda: dev.completed(1))
    assert dev.healthy()
    os.kill(worker, signal.SIGKILL)  # now only the code that is there can be loaded, which ends each process
    eventually(lambda: told in str(dev.ask("GET", "/health")[1].get("error")))
    said = dev.output().count(told)
    dev.write("more.py", fatal + "x = 1\n")
    eventually(lambda: dev.output().count(told) > said)  # told for each change of the files, not for each try
    assert dev.output().count(told) == 3
    dev.write("more.py", "from tidemill import App\napp = App('more')\n")
    eventually(dev.healthy)
    dev.send("item/sold")
    eventually(lambda: dev.completed(2))


def test_a_first_load_that_ends_the_process_is_tried_again(dev: DevServer) -> None:
    dev.write("shop.py", f"import os\nif not os.path.exists('there'): os._exit(4)\n{SHOP}")
    dev.port = free_port()
    dev.launch("shop.py")
    eventually(lambda: "no function runs" in dev.output())
    status, answer = dev.ask("GET", "/health")
    assert status == 503
    assert "shop.py: the process ended with exit code 4" in answer["error"]
    (dev.folder / "there").touch()  # no source: nobody is told of it
    eventually(dev.healthy)


def test_a_run_whose_function_is_gone_is_held_until_it_returns(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    dev.send("item/later")
    eventually(lambda: dev.statuses() == {"sleeping": 1})
    dev.write("shop.py", "from tidemill import App\napp = App('shop')\n")
    eventually(lambda: "reloaded: 0 functions" in dev.output())
    eventually(lambda: dev.ask("GET", "/v1/runs")[1]["data"][0]["reason"])
    dev.write("shop.py", SHOP)
    eventually(lambda: dev.completed(1))


def test_a_port_in_use_is_one_sentence(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        dev.port = taken.getsockname()[1]
        dev.launch("shop.py")
        assert dev.process.wait(PATIENCE) == 1
    assert dev.output() == (
        f"tidemill: port {dev.port} is in use by another program; stop it, or choose another port with --port\n"
    )


def test_a_data_folder_in_use_is_one_sentence(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    first, dev.port = dev.process, free_port()
    dev.launch("shop.py")
    second, dev.process = dev.process, first
    assert second.wait(PATIENCE) == 1
    (line,) = [line for line in dev.output().splitlines() if line.startswith("tidemill: ")]
    assert f"in use by another server (pid {first.pid})" in line


def test_two_apps_of_one_name_are_refused(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.write("shop2.py", SHOP)
    dev.port = free_port()
    dev.launch("shop.py", "shop2.py")
    eventually(lambda: "two apps are named 'shop'" in dev.output())


def test_a_foreign_page_is_refused(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py")
    event = {"name": "item/sold"}
    assert dev.ask("POST", "/e/k", event, {"Host": "evil.example"})[0] == 403
    assert dev.ask("POST", "/e/k", event, {"Origin": "http://evil.example"})[0] == 403
    assert dev.ask("POST", "/e/k", event, {"Origin": f"http://localhost:{dev.port}"})[0] == 200
    eventually(lambda: dev.completed(1))


def test_a_full_disk_is_a_503_and_the_same_ids_again_take_in_the_rest(dev: DevServer) -> None:
    dev.write("shop.py", SHOP.replace('open("notes.txt", "a")', 'open("/dev/null", "a")'))
    dev.port = free_port()
    dev.launch("shop.py", ulimit=2_000)  # blocks of 512 bytes: the database may have about 1 MB
    eventually(dev.healthy)
    sold = {"name": "item/sold", "data": {"pad": "x" * 5_000}}
    batches = [[{**sold, "id": f"{batch}-{n}"} for n in range(20)] for batch in range(30)]
    answers = [dev.ask("POST", "/e/k", batch) for batch in batches]
    refused = [batch for batch, (status, _) in zip(batches, answers, strict=True) if status == 503]
    assert refused
    assert all("full" in answer["error"] or "store" in answer["error"] for status, answer in answers if status == 503)
    assert {status for status, _ in answers} <= {200, 503}
    assert dev.stop() == 0
    dev.start("shop.py")
    for batch in refused:
        assert dev.ask("POST", "/e/k", batch)[0] == 200
    eventually(lambda: dev.completed(600))


MAILER = """
import os
from pathlib import Path
from tidemill import App, Context

app = App("mailer")

@app.function(on="mail/asked")
def ask(ctx: Context):
    return ctx.step.run("send", app.send, "mail/sent", {"to": os.environ["MAIL_TO"]})

@app.function(on="mail/sent")
def sent(ctx: Context):
    ctx.step.run("note", Path("notes.txt").write_text, ctx.event.data["to"])
"""


def test_code_sees_its_environment_file_and_sends_to_its_own_server(dev: DevServer) -> None:
    dev.write("mailer.py", MAILER)
    dev.write(".env", "MAIL_TO=me@example\n")
    dev.start("mailer.py")
    dev.send("mail/asked")
    eventually(lambda: dev.completed(2))
    assert dev.lines("notes.txt") == ["me@example"]


def test_an_environment_file_that_is_named_must_be_there(dev: DevServer) -> None:
    dev.write("mailer.py", MAILER)
    dev.port = free_port()
    dev.launch("mailer.py", "--env-file", "gone.env")
    eventually(lambda: "gone.env; --env-file names a file of KEY=VALUE lines" in dev.output())
    assert dev.ask("GET", "/health")[0] == 503


def test_a_worker_that_hangs_while_it_loads_is_replaced_when_the_code_changes(dev: DevServer) -> None:
    dev.write("shop.py", "from tidemill import App\napp = App('shop')\nimport time; time.sleep(600)\n")
    dev.port = free_port()
    dev.launch("shop.py")
    eventually(lambda: not dev.refuses())
    eventually(lambda: len(dev.descendants()) == 2)
    dev.write("shop.py", SHOP)
    eventually(dev.healthy)
    dev.send("item/sold")
    eventually(lambda: dev.completed(1))


def test_concurrency_bounds_what_runs_at_once(dev: DevServer) -> None:
    dev.write("shop.py", SHOP)
    dev.start("shop.py", "--concurrency", "2")
    dev.send("item/slow", {"seconds": 0.6}, count=4)
    eventually(lambda: len(dev.lines("notes.txt")) >= 2)
    assert dev.lines("notes.txt") == ["first", "first"]
    eventually(lambda: dev.completed(4))


CHANCE = """
import random
from tidemill import App, Context
app = App("shop")

@app.function(on="order/placed")
def pay(ctx: Context) -> str:
    ctx.step.run(f"charge {random.random()}", lambda: "charged")
    ctx.step.sleep("cool down", "1s")
    return "paid"
"""


def test_a_step_that_a_replay_passes_by_is_told_by_its_name(dev: DevServer) -> None:
    dev.write("shop.py", CHANCE)
    dev.start("shop.py")
    dev.send("order/placed")
    eventually(lambda: dev.completed(1))
    (line,) = (line for line in dev.output().splitlines() if line.startswith("! "))
    assert "shop.pay passes by step 'charge 0." in line
    assert "shop.py:8;" in line
