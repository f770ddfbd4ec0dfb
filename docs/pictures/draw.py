"""Draw the terminal's pictures anew: `.venv/bin/python docs/pictures/draw.py` (`--png` too, where chromium is).

The commands run in pseudo-terminals of 80 and of 120 columns, against `tidemill dev` with the app beside this file, and
what they print is drawn by rich, light and dark. Times and ids differ from one drawing to the next.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import pty
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme
from rich.text import Text

HERE = Path(__file__).resolve().parent
TIDEMILL = [sys.executable, "-m", "tidemill_local.cli"]
WIDTHS = (80, 120)
THEMES = {
    "dark": SVG_EXPORT_THEME,
    "light": TerminalTheme(
        (255, 255, 255), (36, 41, 47),
        [(36, 41, 47), (207, 34, 46), (17, 99, 41), (149, 56, 0),
         (9, 105, 218), (130, 80, 223), (27, 124, 131), (110, 119, 129)],
    ),
}  # fmt: skip
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # fonts of the network: the reader's own will do
_DRAWN_OVER = "\x1b[J"  # before each drawing that takes the place of the one before


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path

    def run(self, *words: str) -> str:
        command = [*TIDEMILL, *words]
        done = subprocess.run(command, cwd=self.folder, env=_environment(self.url), capture_output=True, text=True)
        return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--png", action="store_true", help="a PNG of each, too")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to draw into")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with _served() as server:
        for name, shown in _pages(server).items():
            for width in WIDTHS:
                _draw(options.out, name, shown, _printed(server, shown, width), width)
    if options.png:
        for svg in sorted(options.out.glob("*.svg")):
            _png(svg)
    return 0


def _pages(server: Server) -> dict[str, str]:
    """The commands by the names of their pictures, after enough has happened for them to show."""
    orders = [{"order_id": f"o{n}", "total": 40 * n, "email": f"ann{n}@example.com"} for n in range(1, 5)]
    for order in orders:
        server.run(
            "send", "order/placed", json.dumps(order), "--user", f"u{order['order_id']}", "--id", order["order_id"]
        )
    server.run("send", "invoice/asked", '{"order_id": "o1"}', "--wait")
    server.run("send", "stock/low", '{"sku": "tea-250"}')
    time.sleep(1.5)
    runs = [json.loads(line) for line in server.run("runs", "list", "--json").splitlines()]
    waiting = next(run["run_id"] for run in runs if run["status"] == "waiting")
    failed = next(run["run_id"] for run in runs if run["status"] == "failed")
    retrying = next(run["run_id"] for run in runs if run["function_id"] == "shop.reorder")
    return {
        "help": "tidemill --help",
        "runs-list": "tidemill runs list",
        "runs-show-waiting": f"tidemill runs show {waiting[-8:]}",
        "runs-show-failed": f"tidemill runs show {failed[-8:]}",
        "runs-show-retrying": f"tidemill runs show {retrying[-8:]}",
        "functions-list": "tidemill functions list",
        "functions-show": "tidemill functions show shop.checkout",
        "events-list": "tidemill events list",
        "events-show": "tidemill events show o1",
        "send-wait": 'tidemill send greeting/asked \'{"name": "Ann"}\' --wait',
        "mistakes": "tidemill runs lits",
        "cost": "tidemill cost app.py --events-per-month 1000000",
    }


@contextmanager
def _served() -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(HERE / "app.py", folder)
        command = [*TIDEMILL, "dev", "app.py", "--port", "0"]
        server = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            url = re.search(r"http://\S+:\d+", server.stdout.readline())
            assert url is not None
            yield Server(url.group(), folder)
        finally:
            server.terminate()
            server.wait()


def _environment(url: str) -> dict[str, str]:
    dropped = {"NO_COLOR", "COLUMNS", "LINES"}
    return {**{k: v for k, v in os.environ.items() if k not in dropped}, "TIDEMILL_URL": url, "TERM": "xterm-256color"}


def _printed(server: Server, shown: str, width: int) -> str:
    """What the command prints on a terminal of so many columns, after the last drawing over."""
    words = shlex.split(shown)[1:]
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen(
        [*TIDEMILL, *words], cwd=server.folder, env=_environment(server.url), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    parts: list[bytes] = []
    try:
        while part := os.read(ours, 65_536):
            parts.append(part)
    except OSError:  # the other end is closed
        pass
    os.close(ours)
    process.wait()
    printed = b"".join(parts).decode().replace("\r\n", "\n").replace(str(server.folder), "~/shop")
    return re.sub(r"\x1b\[\?7[lh]", "", printed.rpartition(_DRAWN_OVER)[2])


def _draw(out: Path, name: str, shown: str, printed: str, width: int) -> None:
    for theme, colors in THEMES.items():
        console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, legacy_windows=False)
        console.print(Text(f"$ {shown}", style="bold"))
        for line in printed.rstrip("\n").split("\n"):
            console.print(Text.from_ansi(line), soft_wrap=False, overflow="fold")
        svg = console.export_svg(title=f"{width} columns", theme=colors, unique_id=f"{name}-{width}-{theme}")
        (out / f"{name}-{width}-{theme}.svg").write_text(_FONT_FACE.sub("", svg))


def _png(svg: Path) -> None:
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg.read_text())
    assert box is not None
    size = ",".join(str(int(float(side)) + 1) for side in box.groups())
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    shot = [f"--window-size={size}", f"--screenshot={svg.with_suffix('.png')}", svg.resolve().as_uri()]
    subprocess.run([*command, *shot], check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
