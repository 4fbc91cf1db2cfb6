"""Slower, never down: what readers get when L2 or the origin is away or has not enough for all. The whole set of faults under open-loop load
is tests/chaos/."""
import resource
import selectors
import socket
import threading
import time

import pytest
import redis

from support import wait_for

CLIENTS = 10_000
COLD = """
[l2]
url = "redis://127.0.0.1:{l2}/0"
[origins.pg]
url = "{pg}"
max_concurrency = 4
[features.item]
origin = "pg"
load = "select body from item where id = :key and nextval('reads') > 0 and pg_sleep(2) is not null"
ttl = "60s"
hard_timeout = "30s"
lease_ttl = "20s"
[features.quick]
origin = "pg"
load = "select body from item where id = :key and pg_sleep(0.005) is not null"
ttl = "60s"
"""


def ask_all(ports, clients, command):
    """`clients` connections, spread over the ports; every one asks once, all at about the same time. Their answers."""
    sockets = []
    try:
        for i in range(clients):
            sockets.append(socket.create_connection(("127.0.0.1", ports[i % len(ports)])))
        begin = time.monotonic()
        for one in sockets:
            one.sendall(command)
        asked_in = time.monotonic() - begin
        answers, waiting = [], selectors.DefaultSelector()
        for one in sockets:
            waiting.register(one, selectors.EVENT_READ)
        end = time.monotonic() + 40
        while len(answers) < clients and time.monotonic() < end:
            for key, _ in waiting.select(1.0):
                answers.append(key.fileobj.recv(4096))
                waiting.unregister(key.fileobj)
        return answers, asked_in
    finally:
        for one in sockets:
            one.close()


def test_ten_thousand_clients_that_miss_one_key_make_one_origin_read(start, postgres, redis_server):
    clients = min(CLIENTS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
    assert clients >= 3_000, f"only {clients} descriptors: nothing would be shown"
    postgres.sql("drop sequence if exists reads")
    postgres.sql("create sequence reads")
    body = COLD.format(l2=redis_server.port, pg=postgres.url)
    nodes = [start(body, resp_extra="connections_max = 20000") for _ in range(2)]
    command = b"*2\r\n$3\r\nGET\r\n$6\r\nitem:7\r\n"
    answers, asked_in = ask_all([node.port for node in nodes], clients, command)
    print(f"{clients} clients asked within {asked_in:.2f} s")
    assert asked_in < 2, "the origin's answer was there before the last one asked"
    assert set(answers) == {b"$6\r\nitem 7\r\n"} and len(answers) == clients
    assert postgres.sql("select last_value, is_called from reads") == [(1, True)]
    assert sum(node.metric("candor_origin_loads_total", feature="item") for node in nodes) == 1


def test_without_l2_readers_go_to_the_origin_and_never_above_its_cap(start, postgres, redis_server):
    node = start(COLD.format(l2=redis_server.port, pg=postgres.url))
    failures, stopped = [], threading.Event()

    def read(first):
        client, i = node.client(), first
        while not stopped.is_set():
            i += 1
            try:
                client.get(f"quick:{i % 100}-{i}" if i % 2 else f"quick:{i % 100}")
            except redis.RedisError as problem:
                failures.append(str(problem))

    threads = [threading.Thread(target=read, args=(n * 100_000,)) for n in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    redis_server.kill()
    wait_for(lambda: node.metric("candor_degraded", reason="l2_down") == 1, 10, "l2 is down")
    time.sleep(2)
    redis_server.start()
    wait_for(lambda: node.metric("candor_degraded") == 0, 10, "all is well")
    stopped.set()
    for thread in threads:
        thread.join()
    assert not failures, failures[:3]
    origin = node.http("/api/v1/status")[2]
    import json
    origin = json.loads(origin)["origins"][0]
    assert origin["statements"] > 200
    assert origin["in_flight_max"] <= 4


QUEUE = """
[origins.pg]
url = "{pg}"
max_concurrency = 1
waiting_max = 40
[features.vital]
origin = "pg"
load = "select body from item where id = :key and pg_sleep(0.1) is not null"
priority = "critical"
[features.other]
origin = "pg"
load = "select body from item where id = :key and pg_sleep(0.1) is not null"
priority = "low"
"""


def test_critical_features_pass_low_ones_which_are_refused_first(start, postgres):
    node = start(QUEUE.format(pg=postgres.url))
    raw = [node.raw(timeout=20) for _ in range(60)]
    for i, one in enumerate(raw):
        one.send(one.encode("GET", f"other:{i}"))
    wait_for(lambda: node.metric("candor_shed_reads_total", feature="other") > 0, 5, "low loads are refused")
    begin = time.monotonic()
    assert node.client().get("vital:1") == b"item 1"
    took = time.monotonic() - begin
    answers = [one.reply() for one in raw]
    refused = [a for a in answers if not isinstance(a, (bytes, type(None)))]
    assert took < 1.0, "it stood behind the low ones, two seconds of them"
    assert 30 <= len(refused) <= 45 and all(str(a).startswith("OVERLOADED") for a in refused), refused[:2]
    assert node.metric("candor_shed_reads_total", feature="vital") == 0
    assert node.metric("candor_degraded", reason="origin_overloaded:pg") == 1


STOPPED = """
[origins.pg]
url = "{pg}"
max_concurrency = 4
[features.kept]
origin = "pg"
load = "select body from item where id = :key"
ttl = "300ms"
hard_timeout = "1s"
on_origin_failure = {{ serve_stale = "10m" }}
"""


def test_a_breaker_spares_readers_the_wait_for_an_origin_that_says_nothing(start, postgres):
    import os
    import signal
    from pathlib import Path

    node = start(STOPPED.format(pg=postgres.url))
    client = node.client()
    for i in range(8):
        assert client.get(f"kept:{i}") == f"item {i}".encode()
    time.sleep(0.5)
    pid = postgres.process.pid
    pids = [pid] + [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]
    for one in pids:
        os.kill(one, signal.SIGSTOP)
    try:
        raw = [node.raw() for _ in range(8)]
        for _ in range(5):  # half of the outcomes of five seconds must have failed, and some loads were answered
            for i, one in enumerate(raw):
                one.send(one.encode("GET", f"kept:{i}"))
            assert [one.reply() for one in raw] == [f"item {i}".encode() for i in range(8)]  # old, after a second
            if node.metric("candor_breaker_state", target="origin:pg") > 0:
                break
        assert node.metric("candor_breaker_state", target="origin:pg") > 0
        begin = time.monotonic()
        answer = client.execute_command("CANDOR.GET", "kept:3")
        took = time.monotonic() - begin
        assert took < 0.5 or node.metric("candor_breaker_state", target="origin:pg") == 1, took
        assert b"origin failed" in answer
    finally:
        for one in reversed(pids):
            os.kill(one, signal.SIGCONT)
    def fresh():
        client.get("kept:3")
        return node.metric("candor_breaker_state", target="origin:pg") == 0
    wait_for(fresh, 15, "the breaker closes")
    assert node.metric("candor_breaker_opened_total", target="origin:pg") >= 1


@pytest.mark.parametrize("line, says", [
    ("retry_share = 0.5", "retry_share"), ("min_concurrency = 0", "min_concurrency"), ('breaker = "no"', "breaker")])
def test_keys_of_degradation_are_checked(tmp_path, line, says):
    import subprocess

    from support import BUILD
    path = tmp_path / "bad.toml"
    path.write_text(f'[origins.a]\nurl = "sqlite:x.db"\n{line}\n[features.f]\norigin = "a"\nload = "select 1"\npriority = "low"\n')
    done = subprocess.run([BUILD / "candor", "check", path], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode != 0 and says in done.stdout + done.stderr
