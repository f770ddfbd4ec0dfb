"""The console in a real browser, against a real `tidemill dev`; its built files against its source."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from e2e.devserver import DevServer, eventually

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium")
NPM = shutil.which("npm")
APP = """
from tidemill import App, Context

app = App("shop")

@app.function(on="order.placed")
def ship(ctx: Context) -> str:
    ctx.step.run("pack", lambda: "packed")
    return ctx.event.data["note"]
"""
HOSTILE = "<script>document.title='owned'</script>\u202e\u0007<img src=x onerror=\"document.title='owned'\">"


def seen(address: str, folder: Path) -> str:
    """The page's HTML after its scripts have run."""
    assert CHROMIUM is not None
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = ("--disable-component-update", "--disable-sync", f"--user-data-dir={folder}", "--virtual-time-budget=3000")
    command = [CHROMIUM, *flags.split(), *more, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
def test_the_runs_and_one_run_are_shown_and_hostile_text_stays_text(dev: DevServer, tmp_path: Path) -> None:
    dev.write("app.py", APP)
    dev.start("app.py")
    base = f"http://127.0.0.1:{dev.port}/"
    profile = tmp_path / "profile"
    assert "No run fits." in seen(base, profile)
    dev.send("order.placed", {"note": HOSTILE})
    eventually(lambda: dev.completed(1))
    run_id = dev.ask("GET", "/v1/runs")[1]["data"][0]["run_id"]

    listed = seen(base, profile)
    assert f'href="#/runs/{run_id}"' in listed
    assert re.search(r'class="status completed">.*?completed', listed)
    assert run_id not in seen(f"{base}#/runs?status=failed", profile)

    shown = seen(f"{base}#/runs/{run_id}", profile)
    assert "pack</span>" in shown
    assert "&lt;script&gt;document.title='owned'&lt;/script&gt;" in shown
    assert "<title>Tidemill</title>" in shown
    assert "Rerun the run…" in shown
    assert 'role="alert"' in seen(f"{base}#/runs/unknown", profile)


@pytest.mark.skipif(NPM is None, reason="no npm on this machine")
def test_the_built_files_are_those_of_the_source(tmp_path: Path) -> None:
    assert NPM is not None
    major = subprocess.run([NPM, "--version"], capture_output=True, text=True, check=True).stdout.partition(".")[0]
    if int(major) < 11:
        pytest.skip(f"npm {major} cannot install the console's tools: npm 11 can")
    shutil.copytree(ROOT / "console", tmp_path / "console", ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "lambdas" / "api").mkdir(parents=True)
    shutil.copy(ROOT / "lambdas" / "api" / "openapi.json", tmp_path / "lambdas" / "api")
    for command in ("ci --ignore-scripts --no-audit --no-fund", "run types", "run check", "run build"):
        made = subprocess.run([NPM, *command.split()], cwd=tmp_path / "console", capture_output=True, text=True)
        assert made.returncode == 0, made.stdout + made.stderr
    kept = {path.name: path.read_bytes() for path in (ROOT / "local" / "http" / "page").iterdir()}
    built = {path.name: path.read_bytes() for path in (tmp_path / "local" / "http" / "page").iterdir()}
    assert built.keys() == kept.keys()
    assert [name for name in kept if built[name] != kept[name]] == [], "run `make console`, and commit its files"
    schema = Path("console", "src", "schema.ts")
    assert (tmp_path / schema).read_bytes() == (ROOT / schema).read_bytes(), "run `make console`"
