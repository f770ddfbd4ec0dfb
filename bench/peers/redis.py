"""A Redis for the peers that need a broker: the system's, else Debian's packages unpacked beside the peers.

Nothing is installed into the system. It saves nothing to disk, which is how these queues are fastest.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import proc

from peers.base import HOME, Peer, UnavailableError, run

DEBS = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1")
ROOT = HOME / "redis"


def install_redis() -> None:
    if _server():
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise UnavailableError("needs a redis-server on the path (or apt-get to fetch one)")
    ROOT.mkdir(parents=True, exist_ok=True)
    run("apt-get", "download", *DEBS, cwd=ROOT)
    for deb in ROOT.glob("*.deb"):
        run("dpkg-deb", "-x", deb, ROOT)
    if not _server():
        raise UnavailableError("Debian's redis packages hold no redis-server here")


class RedisPeer(Peer):
    """A peer with a Redis of its own, at BENCH_REDIS."""

    def launch(self) -> None:
        server, port = _server(), proc.free_port()
        if not server:
            raise UnavailableError("no redis-server")
        libraries = ":".join(sorted({str(so.parent) for so in ROOT.glob("usr/lib/**/*.so*")}))
        paths = ":".join(filter(None, (libraries, os.environ.get("LD_LIBRARY_PATH", ""))))
        options = f"--port {port} --bind 127.0.0.1 --appendonly no"
        self.spawn("redis", [server, "--save", ""], options, LD_LIBRARY_PATH=paths)
        self.env["BENCH_REDIS"] = f"redis://127.0.0.1:{port}/0"


def _server() -> str | None:
    own = ROOT / "usr" / "bin" / "redis-server"
    return shutil.which("redis-server") or (str(own) if Path(own).exists() else None)
