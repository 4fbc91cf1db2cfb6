"""What the faults strike: a daemon with PostgreSQL, a Redis as L2, a Redis or NATS as stream, readers in a process of their own, and a look
at the daemon's own figures four times a second."""
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from river import NatsServer  # noqa: E402
from slow_link import SlowLink  # noqa: E402
from support import Candord, RedisServer  # noqa: E402

CAP = 8  # max_concurrency
HOT, AGING, WATCHED = 1000, 150, 100  # keys
READS = {"hot": (700, 8, HOT, "hot"), "aging": (250, 64, AGING, "aging"), "watched": (100, 32, WATCHED, "watched"),
         "cold": (20, 16, 10**9, "cold")}

CONFIG = """
[l2]
url = "redis://127.0.0.1:{l2}/0"
[stream]
url = "{stream}"
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


@dataclass(frozen=True)
class Setting:
    """Where a fault's world differs from the usual one."""
    stream: str = "redis"
    l1: str = "64MiB"
    extra: str = ""  # more configuration
    reads: dict = field(default_factory=dict)  # more kinds of reads
    beside: tuple = ()  # what goes on beside the readers: functions of the world, until world.over
    steps_clock: bool = False


class StepClock:
    """A wall clock of the daemon's own, that can be stepped while it runs (step_clock.c)."""

    def __init__(self, folder):
        self.file, library = Path(folder) / "step", Path(folder) / "step_clock.so"
        self.step(0)
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", library, Path(__file__).with_name("step_clock.c")], check=True)
        self.environment = {"LD_PRELOAD": str(library), "STEP_CLOCK": str(self.file)}

    def step(self, seconds):
        with open(self.file, "r+b" if self.file.exists() else "wb") as out:
            out.write(struct.pack("<q", int(seconds * 1e9)))


def children(pid):
    """Of a process, by the kernel's own list."""
    out = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        out += [int(child) for child in (task / "children").read_text().split()]
    return out


class World:
    def __init__(self, folder, postgres, setting):
        self.folder, self.postgres, self.looks, self.over = Path(folder), postgres, [], threading.Event()
        self.setting, self.notes, self.clock = setting, {}, None
        self.link = SlowLink(postgres.port, 0.0)
        self.l2, environment = RedisServer(folder, "l2"), {}
        if setting.stream == "nats":
            self.stream = NatsServer(folder, "stream")
            stream = self.stream.url
        else:
            self.stream = RedisServer(folder, "stream")
            stream = f"redis://127.0.0.1:{self.stream.port}/0"
        if setting.steps_clock:
            self.clock = StepClock(folder)
            environment = self.clock.environment
        body = CONFIG.format(l2=self.l2.port, stream=stream, pg=self.link.port, cap=CAP) + setting.extra
        self.node = Candord(folder, body, name="chaos", l1=setting.l1, environment=environment)
        self.kinds = {**READS, **setting.reads}
        client = self.node.client()
        for name, (_, _, keys, prefix) in self.kinds.items():
            if name == "cold":
                continue
            pipe = client.pipeline(transaction=False)
            for _ in range(2 if name in setting.reads else 1):
                for i in range(keys):
                    pipe.get(f"{prefix}:{i}")
            assert None not in pipe.execute()

    @property
    def pid(self):
        return self.node.process.pid

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

    def limit(self, which, soft):
        """What the daemon's process may have, from now on; None: as before."""
        hard = resource.prlimit(self.pid, which)[1]
        resource.prlimit(self.pid, which, (hard if soft is None else soft, hard))

    def files_open(self):
        return [int(name) for name in os.listdir(f"/proc/{self.pid}/fd")]

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    def read_wide(self):
        """All of `wide` once more: L1 evicts most of it."""
        pipe = self.node.client().pipeline(transaction=False)
        for i in range(self.kinds["wide"][2]):
            pipe.get(f"wide:{i}")
        return pipe.execute()

    def run(self, begin, end, before_s, fault_s, after_s):
        """Readers all along; the fault begins and ends at its times. The reads, and when the fault began and had ended."""
        out = self.folder / "reads.txt"
        kinds = [f"{name}={rate}:{connections}:{keys}:{prefix}" for name, (rate, connections, keys, prefix) in self.kinds.items()]
        beside = [threading.Thread(target=self.watch)] + [threading.Thread(target=one, args=(self,)) for one in self.setting.beside]
        for thread in beside:
            thread.start()
        load = subprocess.Popen([sys.executable, Path(__file__).with_name("load.py"), str(self.node.port),
                                 str(before_s + fault_s + after_s), out, *kinds], stdin=subprocess.DEVNULL)
        try:
            time.sleep(before_s)
            self.notes["cpu"] = [(time.monotonic(), self.cpu_seconds())]
            began = time.monotonic()
            begin(self)
            time.sleep(max(0.0, began + fault_s - time.monotonic()))
            self.notes["cpu"].append((time.monotonic(), self.cpu_seconds()))
            end(self)
            ended = time.monotonic()
            load.wait(fault_s + after_s + 30)
        finally:
            if load.poll() is None:
                load.kill()
            self.over.set()
            for thread in beside:
                thread.join()
        return out, began, ended

    def close(self):
        self.over.set()
        self.node.stop()
        self.link.close()
        for server in (self.l2, self.stream):
            if server.process.alive():
                os.kill(server.process.pid, signal.SIGCONT)
            server.stop()
