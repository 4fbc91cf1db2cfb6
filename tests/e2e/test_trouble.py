"""Trouble around the daemon: databases and peers that go and come back, crashes, signals, full disks."""
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest
import redis

from support import BUILD, Process, RespError, SHOP, free_port, make_shop, wait_for

POSTGRES = """
[origins.pg]
url = "{url}"
max_concurrency = 4
[features.item]
origin = "pg"
load  = "select body from item where id = :key"
load_many = "select id, body from item where id = any(:keys)"
store = "insert into item(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase = "delete from item where id = :key"
ttl   = "1s"
hard_timeout = "2s"
[features.kept]
origin = "pg"
load  = "select body from item where id = :key"
ttl   = "1s"
hard_timeout = "2s"
on_origin_failure = {{ serve_stale = "10m" }}
"""

SHARED = """
[l2]
url = "redis://127.0.0.1:{port}/0"
"""


def run_candord(folder, text, timeout=15):
    """(exit code, output) of a daemon that should not start."""
    path = folder / "bad.toml"
    path.write_text(text)
    done = subprocess.run([BUILD / "candord", "--config", path], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False)
    return done.returncode, done.stdout + done.stderr


def listeners(resp, http):
    return f'[node]\ndata_dir = "data"\n[resp]\nlisten = "127.0.0.1:{resp}"\n[http]\nlisten = "127.0.0.1:{http}"\n'


# ---- at start ----

def test_port_in_use_is_one_clear_line(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, output = run_candord(tmp_path, listeners(port, free_port()))
    assert code in (1, 2)
    assert str(port) in output and "in use" in output and "resp" in output


def test_http_port_in_use_is_one_clear_line(tmp_path):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        code, output = run_candord(tmp_path, listeners(free_port(), port))
    assert code in (1, 2)
    assert str(port) in output and "in use" in output


def test_a_file_that_is_not_a_database(tmp_path, start):
    (tmp_path / "shop.db").write_text("this is a letter, not a database\n" * 100)
    node = start(SHOP)
    with pytest.raises(redis.ResponseError) as error:
        node.client().get("item:1")
    assert "not a database" in str(error.value)
    assert "shop.db" in node.log() and "not a database" in node.log(), "the start says it, before anybody reads"
    assert node.client().set("plain:a", "1"), "other features are served"


def test_a_database_that_is_not_there_is_said_at_start_and_used_when_it_comes(tmp_path, start):
    node = start(SHOP)
    assert "shop.db" in node.log() and "mode=rwc" in node.log()
    with pytest.raises(redis.ResponseError, match="^ORIGINDOWN"):
        node.client().get("item:1")
    make_shop(tmp_path / "shop.db")
    wait_for(lambda: node.client().get("item:1") == b"item 1", 15, "loads once the file is there")


def test_configuration_errors_name_file_line_and_key(tmp_path):
    text = listeners(free_port(), free_port()) + '[features.x]\norigin = "none"\nttll = "5s"\n'
    code, output = run_candord(tmp_path, text)
    assert code in (1, 2)
    line = text.splitlines().index('ttll = "5s"') + 1
    assert f"bad.toml:{line}" in output and "features.x.ttll" in output and "ttl" in output


def test_candor_check_agrees_with_the_daemon(tmp_path):
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('[features.x]\norigin = "none"\n')
    bad.write_text('[features.x]\norigin = "nobody"\nload = "select 1"\n')
    check = lambda path: subprocess.run([BUILD / "candor", "check", path], capture_output=True, text=True, check=False)
    assert check(good).returncode == 0
    answer = check(bad)
    assert answer.returncode == 1 and "bad.toml:2" in answer.stdout + answer.stderr


def test_other_addresses_need_users(tmp_path):
    code, output = run_candord(tmp_path, f'[node]\ndata_dir = "data"\n[resp]\nlisten = "0.0.0.0:{free_port()}"\n[http]\nlisten = "127.0.0.1:{free_port()}"\n')
    assert code in (1, 2) and "users" in output


# ---- disk ----

def test_a_full_disk_refuses_the_write_and_reads_go_on(tmp_path, start):
    make_shop(tmp_path / "shop.db")
    with sqlite3.connect(tmp_path / "shop.db") as database:
        pages = database.execute("pragma page_count").fetchone()[0]
    node = start(SHOP, ignore_file_limit_signal=True)
    client = node.client()
    assert client.get("item:1") == b"item 1"
    # The daemon's own limit on the size of files stands in for a full disk: the system call fails in the same place.
    size = max(pages * 4096, os.path.getsize(tmp_path / "shop.db")) + 16_384
    resource.prlimit(node.process.pid, resource.RLIMIT_FSIZE, (size, size))
    with pytest.raises(redis.ResponseError) as error:
        for i in range(200):
            client.set(f"item:new{i}", "x" * 10_000)
    assert error.value is not None
    assert client.get("item:1") == b"item 1" and client.get("item:2") == b"item 2"
    assert node.process.alive()


# ---- PostgreSQL ----

def test_reads_and_writes_through_postgres(start, postgres):
    client = start(POSTGRES.format(url=postgres.url)).client()
    assert client.mget("item:1", "item:2", "item:none") == [b"item 1", b"item 2", None]
    client.set("item:1", "one")
    assert client.get("item:1") == b"one"
    assert postgres.sql("select body from item where id = '1'") == [("one",)]
    assert client.delete("item:1") == 1
    assert postgres.sql("select count(*) from item where id = '1'") == [(0,)]


def test_postgres_gone_and_back(start, postgres):
    node = start(POSTGRES.format(url=postgres.url))
    client = node.client()
    assert client.get("item:3") == b"item 3" and client.get("kept:3") == b"item 3"
    postgres.kill()
    time.sleep(1.3)  # past the ttl
    begin = time.monotonic()
    with pytest.raises(redis.ResponseError, match="^ORIGINDOWN"):
        client.get("item:4")
    assert time.monotonic() - begin < 5, "an error within the hard timeout, not a hang"
    with pytest.raises(redis.ResponseError):
        client.set("item:4", "x")
    assert client.get("kept:3") == b"item 3", "the owner allows an old value for ten minutes"
    assert client.ping()
    postgres.start()
    wait_for(lambda: client.get("item:4") == b"item 4", 15, "loads recover by themselves")


def test_stale_answers_are_marked_degraded(start, postgres):
    node = start(POSTGRES.format(url=postgres.url))
    raw = node.raw()
    raw.command("HELLO", "3")
    raw.command("GET", "kept:5")
    postgres.kill()
    time.sleep(1.3)
    answer = raw.command("CANDOR.GET", "kept:5")
    assert not isinstance(answer, RespError), answer
    assert answer[b"value"] == b"item 5" and answer[b"degraded"] is not None


def test_daemon_starts_while_postgres_is_away(start, postgres):
    postgres.kill()
    node = start(POSTGRES.format(url=postgres.url))
    with pytest.raises(redis.ResponseError, match="^ORIGINDOWN"):
        node.client().get("item:1")
    postgres.start()
    wait_for(lambda: node.client().get("item:1") == b"item 1", 15, "loads once the database is there")


# ---- Redis as L2 ----

def test_two_nodes_share_what_one_has_loaded(start, shop, redis_server):
    one, two = (start(SHARED.format(port=redis_server.port) + SHOP) for _ in range(2))
    assert one.client().get("item:1") == b"item 1"
    raw = two.raw()
    raw.command("HELLO", "3")
    assert raw.command("CANDOR.GET", "item:1")[b"tier"] == b"l2"


def test_l2_gone_and_back(start, shop, redis_server):
    node = start(SHARED.format(port=redis_server.port) + SHOP)
    client = node.client()
    assert client.get("item:1") == b"item 1"
    redis_server.kill()
    begin = time.monotonic()
    assert client.get("item:2") == b"item 2", "straight to the origin"
    assert time.monotonic() - begin < 5
    assert client.get("item:1") == b"item 1"
    client.set("item:3", "three")
    assert client.get("item:3") == b"three"
    redis_server.start()
    def filled():
        client.get(f"item:{time.monotonic_ns() % 100}")
        return redis_server.client().dbsize() > 0
    wait_for(filled, 20, "L2 is used again", every=0.1)
    assert node.process.alive()


# ---- one origin load ----

def herd(node, clients, key):
    """`clients` connections ask for one key at once; their answers."""
    sockets = []
    for _ in range(clients):
        s = socket.socket()
        s.connect(("127.0.0.1", node.port))
        sockets.append(s)
    request = b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key)
    for s in sockets:
        s.sendall(request)
    answers = []
    for s in sockets:
        s.settimeout(30)
        data = b""
        while data.count(b"\r\n") < 2:
            data += s.recv(4096)
        answers.append(data)
        s.close()
    return answers


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 11_000  # 10,000 connections here, and as many in the daemon, which inherits the limit
    assert hard == resource.RLIM_INFINITY or hard >= wanted, f"this test needs ulimit -n {wanted}; the hard limit is {hard}"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


SLOW = """
[origins.shop]
url = "sqlite:shop.db"
[features.slow]
origin = "shop"
# Counts to a few millions first: the load is still under way when the last client asks.
load = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 4000000) select body from item where id = :key and (select count(*) from n) > 0"
ttl = "60s"
hard_timeout = "30s"
lease_ttl = "20s"
"""


def test_10000_clients_missing_one_key_are_one_origin_load(start, shop, many_files):
    node = start(SLOW, resp_extra="connections_max = 10500")
    answers = herd(node, 10_000, b"slow:1")
    assert set(answers) == {b"$6\r\nitem 1\r\n"}
    assert node.metric("candor_origin_loads_total", feature="slow") == 1


def test_a_herd_on_two_nodes_that_share_l2_is_one_origin_load(start, shop, redis_server, many_files):
    nodes = [start(SHARED.format(port=redis_server.port) + SLOW, resp_extra="connections_max = 6000") for _ in range(2)]
    answers = [None, None]
    def ask(i):
        answers[i] = herd(nodes[i], 5_000, b"slow:2")
    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(answers[0]) == set(answers[1]) == {b"$6\r\nitem 2\r\n"}
    assert sum(node.metric("candor_origin_loads_total", feature="slow") for node in nodes) == 1


# ---- crashes and signals ----

def test_kill_9_loses_no_acknowledged_write(start, shop):
    node = start()
    acknowledged = []
    def write():
        client = node.client()
        try:
            for i in range(100_000):
                client.set(f"item:w{i}", f"v{i}")
                acknowledged.append(i)
        except redis.RedisError:
            pass
    writer = threading.Thread(target=write)
    writer.start()
    wait_for(lambda: len(acknowledged) > 50, 20, "some writes")
    node.process.kill()
    writer.join()
    stored = {row[0] for row in shop.execute("select id from item where id like 'w%'")}
    assert {f"w{i}" for i in acknowledged} <= stored
    node.start()
    assert node.client().get(f"item:w{acknowledged[-1]}") == f"v{acknowledged[-1]}".encode()


def test_sigterm_finishes_requests_under_way_and_exits_0(start, shop):
    node = start(SLOW)
    answer = []
    reader = threading.Thread(target=lambda: answer.append(node.client().get("slow:3")))
    reader.start()
    wait_for(lambda: node.metric("candor_origin_in_flight") > 0, 10, "the load is under way")
    node.process.send(signal.SIGTERM)
    assert node.process.wait() == 0
    reader.join()
    assert answer == [b"item 3"]


def test_sigint_exits_0(node):
    assert node.stop(signal.SIGINT) == 0


def test_sighup_reloads_what_can_change_and_says_what_cannot(node, shop):
    client = node.client()
    client.get("short:1")
    assert client.pttl("short:1") <= 1000
    node.head = node.head.replace(str(node.port), str(free_port()))
    node.write_config(SHOP.replace('ttl   = "1s"', 'ttl   = "300s"'))
    node.process.send(signal.SIGHUP)
    def reloaded():
        client.execute_command("CANDOR.INVALIDATE", "short:2")
        client.get("short:2")
        return client.pttl("short:2") > 100_000
    wait_for(reloaded, 10, "the new ttl is in force")
    assert "resp.listen" in node.log()


def test_sighup_with_a_broken_file_changes_nothing(node):
    node.write_config("[features.item\n")
    node.process.send(signal.SIGHUP)
    wait_for(lambda: f"{node.config.name}:" in node.log(), 5, "the log names the file and line")
    assert node.client().get("item:1") == b"item 1"


def test_memory_stays_within_its_limit(start, shop):
    node = start(l1="16MiB")
    client = node.client()
    pipe = client.pipeline(transaction=False)
    for i in range(60_000):
        pipe.set(f"plain:{i}", "x" * 1000)
        if i % 1000 == 999:
            pipe.execute()
    assert node.metric("candor_memory_bytes", tier="l1") <= 16 * 2**20
    assert node.metric("candor_evictions_total", tier="l1") > 0
    assert client.get("plain:59999") == b"x" * 1000


def test_redis_benchmark_runs_against_it(node):
    done = subprocess.run(["redis-benchmark", "-p", str(node.port), "-n", "20000", "-c", "20", "-P", "16", "-q", "GET", "item:1"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "requests per second" in done.stdout, done.stdout + done.stderr


def test_redis_cli_reads_through_it(node):
    done = subprocess.run(["redis-cli", "-p", str(node.port), "get", "item:1"], capture_output=True, text=True, timeout=10, check=False)
    assert done.stdout.strip().strip('"') == "item 1"
