"""Daemons whose origin is watched, and clients that keep values on their side: what the tests of the change river share."""
import json
import socket
import subprocess
import time

from support import BUILD, Process, Raw, free_port, wait_for

WATCHED = """
{shared}
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load  = "select body from item where id = :key"
store = "insert into item(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase = "delete from item where id = :key"
watch = {{ table = "item", key = "id" }}
ttl   = "10m"
{item_extra}
[features.loose]
origin = "shop"
load  = "select body from item where id = :key"
ttl   = "10m"
{loose_extra}
[features.cache]
origin = "none"
"""


def shared(redis_port, stream=None):
    return f'[l2]\nurl = "redis://127.0.0.1:{redis_port}/0"\n[stream]\nurl = "{stream or f"redis://127.0.0.1:{redis_port}/0"}"\n'


def body(shared_part="", item_extra="", loose_extra=""):
    return WATCHED.format(shared=shared_part, item_extra=item_extra, loose_extra=loose_extra)


def install_feed(folder, text):
    path = folder / "feed.toml"
    path.write_text(f'[node]\ndata_dir = "feed-data"\n{text}')
    done = subprocess.run([BUILD / "candor", "feed", "install", path], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


class Tracker(Raw):
    """A RESP3 connection that keeps apart what is pushed and what is answered."""

    def __init__(self, port, *options, protocol=3, on=True):
        super().__init__(port)
        self.pushes = []
        assert isinstance(self.command("HELLO", protocol), (dict, list))
        if on:
            assert self.command("CLIENT", "TRACKING", "ON", *options) == "OK"

    def reply(self):
        while self.reader.peek(1)[:1] == b">":
            self.pushes.append((time.monotonic(), super().reply()))
        return super().reply()

    def invalidated(self):
        """What was told since the last call: names, or None for everything."""
        told = []
        for _, push in self.pushes:
            assert push[0] == b"invalidate", push
            told += [None] if push[1] is None else [name.decode() for name in push[1]]
        self.pushes.clear()
        return told

    def wait_invalidated(self, name, timeout=5.0):
        """Until `name` (None: everything) is told; the time it came."""
        self.socket.settimeout(timeout)
        end = time.monotonic() + timeout
        while True:
            for at, push in self.pushes:
                names = [None] if push[1] is None else [one.decode() for one in push[1]]
                if name in names:
                    self.pushes.clear()
                    return at
            assert time.monotonic() < end, f"{name} was not told within {timeout} s; told: {self.pushes}"
            try:
                if self.reader.peek(1)[:1] == b">":
                    self.pushes.append((time.monotonic(), Raw.reply(self)))
            except (TimeoutError, socket.timeout):
                raise AssertionError(f"{name} was not told within {timeout} s; told: {self.pushes}") from None

    def settle(self):
        """A round trip: what was pushed before it has arrived."""
        assert self.command("PING") == "PONG"


class NatsServer:
    def __init__(self, folder, name="nats", port=None):
        self.folder, self.name, self.port = folder, name, port or free_port()
        self.start()

    def start(self):
        self.process = Process(["nats-server", "-js", "-a", "127.0.0.1", "-p", self.port, "-sd", self.folder / f"{self.name}-store"],
                               self.folder, self.name)
        def answers():
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                return s.recv(4) == b"INFO"
        wait_for(answers, 10, "nats-server answers")

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def stop(self):
        self.process.stop()


def launch(node):
    """Starts a daemon made with ready=False and waits until its HTTP answers, not until it is ready."""
    node.process = Process([BUILD / "candord", "--config", node.config], node.folder, node.name)
    wait_for(lambda: node.http("/healthz")[0] == 200, 20, "the daemon lives")
    return node


def readiness(node):
    status, _, text = node.http("/readyz")
    return status, text.decode()


def status_of(node):
    return json.loads(node.http("/api/v1/status")[2])
