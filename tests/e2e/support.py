"""Real processes for the end-to-end tests: each on free loopback ports, in a temporary folder, stopped by process id."""
import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import redis

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = Path(os.environ.get("CANDOR_BUILD", ROOT / "build" / "release"))
START_TIMEOUT_S = 20
STOP_TIMEOUT_S = 20


# Below those that the system gives to clients: nothing takes one between the draw and its server's start. Lanes that
# run side by side have a range each (tools/run_tests.py).
PORTS_FIRST, PORTS_LAST = map(int, os.environ.get("CANDOR_TEST_PORTS", "10000-13999").split("-"))
_ports_given = set()


def free_port():
    """A port that nobody listens on, and that this process has not given to anybody before."""
    for _ in range(10_000):
        port = random.randint(PORTS_FIRST, PORTS_LAST)
        if port in _ports_given:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise AssertionError(f"no free port in {PORTS_FIRST}-{PORTS_LAST}")


def wait_for(condition, timeout=10.0, what="condition", every=0.02):
    """Polls until `condition()` is true; returns what it gave. Exceptions count as false until time is up."""
    end, last = time.monotonic() + timeout, None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except Exception as problem:  # noqa: BLE001 whatever it is, it is shown below
            last = problem
        time.sleep(every)
    raise AssertionError(f"not within {timeout} s: {what}" + (f" ({last!r})" if last else ""))


def dies_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A child in its own session; stop() ends it and nothing else."""

    def __init__(self, command, folder, name, cwd=None, ignore_file_limit_signal=False, environment=None):
        self.log_path = Path(folder) / f"{name}.log"
        self.log_file = open(self.log_path, "ab")
        self.child = subprocess.Popen([str(c) for c in command], cwd=cwd or folder, stdin=subprocess.DEVNULL,
                                      stdout=self.log_file, stderr=subprocess.STDOUT, start_new_session=True,
                                      preexec_fn=dies_with_parent, restore_signals=not ignore_file_limit_signal,
                                      env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.child.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.child.poll() is None

    def send(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=STOP_TIMEOUT_S):
        return self.child.wait(timeout)

    def kill(self):
        if self.alive():
            self.child.kill()
        self.child.wait()

    def stop(self, number=signal.SIGTERM):
        if self.alive():
            self.child.send_signal(number)
            try:
                self.child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
        self.log_file.close()
        return self.child.returncode


class Candord:
    """A daemon with the configuration `body`; its listeners and data folder are added here."""

    def __init__(self, folder, body, name="candord", resp_extra="", http_extra="", node_extra="", ready=True, l1="64MiB",
                 ignore_file_limit_signal=False, environment=None):
        self.environment = environment
        self.folder, self.name, self.ignore_file_limit_signal = Path(folder), name, ignore_file_limit_signal
        self.port, self.http_port = free_port(), free_port()
        self.config = self.folder / f"{name}.toml"
        self.head = (f'[node]\nname = "{name}"\ndata_dir = "{name}-data"\n{node_extra}\n[resp]\nlisten = "127.0.0.1:{self.port}"\n'
                     f'{resp_extra}\n[http]\nlisten = "127.0.0.1:{self.http_port}"\n{http_extra}\n[l1]\nmemory = "{l1}"\n')
        self.write_config(body)
        self.process = None
        if ready:
            self.start()

    def write_config(self, body):
        self.config.write_text(self.head + body)

    def start(self):
        self.process = Process([BUILD / "candord", "--config", self.config], self.folder, self.name,
                               ignore_file_limit_signal=self.ignore_file_limit_signal, environment=self.environment)
        def ready():
            if not self.process.alive():
                raise SystemExit(f"candord ended with {self.process.child.returncode}:\n{self.process.log()}")
            return self.http("/readyz")[0] == 200
        try:
            wait_for(ready, START_TIMEOUT_S, "candord is ready")
        except AssertionError as problem:
            text = self.process.log()
            self.process.kill()
            raise AssertionError(f"{problem}\n{text}") from None

    def client(self, **options):
        options.setdefault("socket_timeout", 15)
        return redis.Redis("127.0.0.1", self.port, **options)

    def raw(self, **options):
        return Raw(self.port, **options)

    def http(self, path, method="GET", headers=None, data=None):
        """(status, headers, body)"""
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=data, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.headers, answer.read()

    def metric(self, name, **labels):
        """The sum of a metric's samples with these labels."""
        total = 0.0
        for line in self.http("/metrics")[2].decode().splitlines():
            if line.startswith("#") or not line.startswith(name):
                continue
            head, _, value = line.rpartition(" ")
            if head.partition("{")[0] == name and all(f'{k}="{v}"' in head for k, v in labels.items()):
                total += float(value)
        return total

    def token(self):
        return (self.folder / f"{self.name}-data" / "admin.token").read_text().strip()

    def log(self):
        return self.process.log()

    def stop(self, number=signal.SIGTERM):
        return self.process.stop(number) if self.process else None


class RespError(Exception):
    pass


class Raw:
    """A socket that speaks RESP by hand: what client libraries would hide is visible here."""

    def __init__(self, port, timeout=10, receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.reader = self.socket.makefile("rb")

    def send(self, data):
        self.socket.sendall(data)

    @staticmethod
    def encode(*args):
        out = [b"*%d\r\n" % len(args)]
        for arg in args:
            arg = arg if isinstance(arg, bytes) else str(arg).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
        return b"".join(out)

    def command(self, *args):
        self.send(self.encode(*args))
        return self.reply()

    def reply(self):
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RespError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b",":
            return float(rest)
        if kind == b"#":
            return rest == b"t"
        if kind == b"_":
            return None
        if kind in b"$=!":
            if rest == b"-1":
                return None
            body = self.reader.read(int(rest) + 2)[:-2]
            return body[4:] if kind == b"=" else body
        if kind in b"*~>":
            return None if rest == b"-1" else [self.reply() for _ in range(int(rest))]
        if kind == b"%":
            return {self.reply(): self.reply() for _ in range(int(rest))}
        raise AssertionError(f"not RESP: {line!r}")

    def is_closed(self):
        """True when the other side has closed: an end of file or a reset, and nothing else."""
        try:
            return self.socket.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            return True
        except (TimeoutError, socket.timeout):
            return False

    def close(self):
        self.reader.close()
        self.socket.close()


class RedisServer:
    def __init__(self, folder, name="redis"):
        self.folder, self.name, self.port = Path(folder), name, free_port()
        self.start()

    def start(self):
        self.process = Process(["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                "--dir", self.folder], self.folder, self.name)
        wait_for(lambda: self.client().ping(), 10, "redis-server answers")

    def client(self):
        return redis.Redis("127.0.0.1", self.port, socket_timeout=5)

    def kill(self):
        self.process.kill()

    def stop(self):
        self.process.stop()


class Postgres:
    """A PostgreSQL of its own. The server refuses root, so as root it runs as the user `postgres`."""

    def __init__(self):
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="candor-pg-"))
        self.programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
        self.prefix = []
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.prefix = ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
        data = self.folder / "data"
        subprocess.run([*self.prefix, self.programs / "initdb", "-D", data, "-U", "app", "-A", "trust", "-N"], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=self.folder)
        self.process = None
        self.start()

    def start(self):
        self.process = Process([*self.prefix, self.programs / "postgres", "-D", self.folder / "data", "-p", self.port, "-h", "127.0.0.1",
                                "-k", self.folder, "-c", "fsync=off", "-c", "wal_level=logical"], self.folder, "postgres")
        wait_for(lambda: self.sql("select 1"), 15, "postgres answers")

    def sql(self, statement, *values):
        import psycopg2
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user="app", dbname="postgres", connect_timeout=5)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return cursor.fetchall() if cursor.description else cursor.rowcount
        finally:
            connection.close()

    @property
    def url(self):
        return f"postgresql://app@127.0.0.1:{self.port}/postgres"

    def kill(self):
        """SIGKILL to the postmaster; its children notice and leave, and then the lock file goes."""
        self.process.kill()
        def gone():
            with socket.socket() as s:
                return s.connect_ex(("127.0.0.1", self.port)) != 0
        wait_for(gone, 10, "postgres is gone")
        time.sleep(0.3)
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def stop(self):
        self.process.stop(signal.SIGINT)  # fast shutdown
        shutil.rmtree(self.folder, ignore_errors=True)


def make_shop(path, rows=100):
    """A SQLite database with the table `item` (id, body): the origin of most tests."""
    database = sqlite3.connect(path)
    database.execute("create table item(id text primary key, body)")
    database.executemany("insert into item values (?, ?)", ((str(i), f"item {i}") for i in range(rows)))
    database.execute("create table strict_item(id text primary key, body text check (length(body) < 10))")
    database.execute("pragma journal_mode = wal")
    database.commit()
    database.close()


SHOP = """
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load  = "select body from item where id = :key"
store = "insert into item(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase = "delete from item where id = :key"
ttl   = "60s"
[features.shown]
origin = "shop"
load  = "select body from item where id = :key"
ttl   = "60s"
negative_ttl = "1s"
[features.short]
origin = "shop"
load  = "select body from item where id = :key"
ttl   = "1s"
negative_ttl = "1s"
[features.narrow]
origin = "shop"
load  = "select body from strict_item where id = :key"
store = "insert into strict_item(id, body) values (:key, :value)"
[features.broken]
origin = "shop"
load  = "select body from item where id = :key and abs(-9223372036854775808) > 0"
[features.plain]
origin = "none"
ttl    = "60s"
"""
