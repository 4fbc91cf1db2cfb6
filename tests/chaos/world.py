"""What the faults strike: a daemon with PostgreSQL, a Redis as L2 and one as stream, readers in a process of their own, and a look at the
daemon's own figures four times a second."""
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import json

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from slow_link import SlowLink  # noqa: E402
from support import Candord, Process, RedisServer, wait_for  # noqa: E402,F401

CAP = 8  # max_concurrency
HOT, AGING, WATCHED = 1000, 150, 100  # keys
READS = {"hot": (700, 8, HOT, "hot"), "aging": (250, 64, AGING, "aging"), "watched": (100, 32, WATCHED, "watched"),
         "cold": (20, 16, 10**9, "cold")}

CONFIG = """
[l2]
url = "redis://127.0.0.1:{l2}/0"
[stream]
url = "redis://127.0.0.1:{stream}/0"
[origins.pg]
url = "postgresql://app@127.0.0.1:{pg}/postgres"
max_concurrency = {cap}
connect_timeout = "2s"
[features.hot]
origin = "pg"
load = "select body from item where id = :key"
ttl = "30m"
priority = "critical"
on_origin_failure = {{ serve_stale = "10m" }}
[features.aging]
origin = "pg"
load = "select body from item where id = :key"
load_many = "select id, body from item where id = any(:keys)"
ttl = "1s"
soft_timeout = "100ms"
hard_timeout = "2s"
on_origin_failure = {{ serve_stale = "10m" }}
[features.watched]
origin = "pg"
load = "select body from item where id = :key"
watch = {{ table = "item", key = "id" }}
consistency = "bounded"
ttl = "30m"
hard_timeout = "2s"
[features.watched.budget]
max_staleness = "2s"
[features.cold]
origin = "pg"
load = "select body from item where id = :key"
ttl = "1s"
negative_ttl = "1s"
hard_timeout = "2s"
priority = "low"
"""


def children(pid):
    """Of a process, by the kernel's own list."""
    out = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        out += [int(child) for child in (task / "children").read_text().split()]
    return out


class World:
    def __init__(self, folder, postgres):
        self.folder, self.postgres, self.looks, self.over = Path(folder), postgres, [], threading.Event()
        self.link = SlowLink(postgres.port, 0.0)
        self.l2, self.stream = RedisServer(folder, "l2"), RedisServer(folder, "stream")
        body = CONFIG.format(l2=self.l2.port, stream=self.stream.port, pg=self.link.port, cap=CAP)
        self.node = Candord(folder, body, name="chaos")
        client = self.node.client()
        for feature, keys in (("hot", HOT), ("aging", AGING), ("watched", WATCHED)):
            for i in range(keys):
                assert client.get(f"{feature}:{i}") is not None

    def status(self):
        return json.loads(self.node.http("/api/v1/status")[2])

    def watch(self):
        while not self.over.wait(0.25):
            try:
                status = self.status()
            except OSError:
                continue
            self.looks.append((time.monotonic(), status["origins"][0], status["degraded"]))

    # ---- faults ----
    def postgres_pids(self):
        pid = self.postgres.process.pid
        return [pid, *children(pid)]

    def signal_postgres(self, number):
        pids = self.postgres_pids()
        for pid in pids if number == signal.SIGSTOP else reversed(pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def run(self, begin, end, before_s, fault_s, after_s):
        """Readers all along; the fault begins and ends at its times. The reads, and when the fault began and had ended."""
        out = self.folder / "reads.txt"
        kinds = [f"{name}={rate}:{connections}:{keys}:{prefix}" for name, (rate, connections, keys, prefix) in READS.items()]
        watcher = threading.Thread(target=self.watch)
        watcher.start()
        load = subprocess.Popen([sys.executable, Path(__file__).with_name("load.py"), str(self.node.port),
                                 str(before_s + fault_s + after_s), out, *kinds], stdin=subprocess.DEVNULL)
        try:
            time.sleep(before_s)
            began = time.monotonic()
            begin(self)
            time.sleep(max(0.0, began + fault_s - time.monotonic()))
            end(self)
            ended = time.monotonic()
            load.wait(fault_s + after_s + 30)
        finally:
            if load.poll() is None:
                load.kill()
            self.over.set()
            watcher.join()
        return out, began, ended

    def close(self):
        self.over.set()
        self.node.stop()
        self.link.close()
        for server in (self.l2, self.stream):
            if server.process.alive():
                os.kill(server.process.pid, signal.SIGCONT)
            server.stop()
