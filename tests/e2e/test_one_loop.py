"""One data-plane thread: its loop is the miss path's home as well, so connections, misses and the end of the daemon share it."""
import signal
import subprocess
import threading
import time

import pytest

from support import SHOP, Raw, free_port, wait_for

ONE = "threads = 1"


def thread_names(pid):
    from pathlib import Path
    return {(task / "comm").read_text().strip() for task in Path(f"/proc/{pid}/task").iterdir()}


def slow_body(postgres, seconds):
    """`item` answers at once, `slow` after so many seconds."""
    load = "select body from item where id = :key"
    return (f'[origins.shop]\nurl = "{postgres.url}"\n[features.item]\norigin = "shop"\nload = "{load}"\n'
            f'[features.slow]\norigin = "shop"\nload = "{load} and pg_sleep({seconds}) is not null"\n'
            'hard_timeout = "20s"\n')


def test_one_data_thread_is_the_home_and_more_have_one_of_their_own(start, shop):
    one, two = start(resp_extra=ONE), start(resp_extra="threads = 2")
    assert {"data-0"} == {n for n in thread_names(one.process.pid) if n.startswith("data-") or n == "home"}
    assert {"data-0", "data-1", "home"} == {n for n in thread_names(two.process.pid) if n.startswith("data-") or n == "home"}


def test_a_shared_l2_that_compresses_keeps_its_own_home(start, shop, redis_server):
    body = SHOP + f'\n[l2]\nurl = "redis://127.0.0.1:{redis_server.port}/0"\n'
    assert "home" in thread_names(start(body, resp_extra=ONE).process.pid)
    assert "home" not in thread_names(start(body + 'compress_above = "0B"\n', resp_extra=ONE).process.pid)


def test_hits_are_answered_while_a_miss_waits_for_the_database(start, postgres):
    node = start(slow_body(postgres, 1.5), resp_extra=ONE)
    client = node.client()
    assert client.get("item:1") == b"item 1"
    miss = Raw(node.port)
    miss.send(Raw.encode("GET", "slow:2"))
    time.sleep(0.1)
    began = time.monotonic()
    for _ in range(100):
        assert client.get("item:1") == b"item 1"
    assert time.monotonic() - began < 1
    assert miss.reply() == b"item 2"
    assert time.monotonic() - began > 1


def test_requests_behind_a_miss_on_the_same_connection_keep_their_order(start, shop):
    client = Raw(start(resp_extra=ONE).port)
    client.send(b"".join(Raw.encode("GET", f"item:{i}") for i in range(50)) + Raw.encode("MGET", "item:1", "item:60", "item:2"))
    assert [client.reply() for _ in range(50)] == [b"item %d" % i for i in range(50)]
    assert client.reply() == [b"item 1", b"item 60", b"item 2"]


def test_sigterm_finishes_a_miss_that_is_under_way(start, postgres):
    node = start(slow_body(postgres, 1), resp_extra=ONE)
    client = Raw(node.port)
    client.send(Raw.encode("GET", "slow:3"))
    time.sleep(0.2)
    node.process.send(signal.SIGTERM)
    assert client.reply() == b"item 3"
    assert node.process.wait() == 0
    assert "stopped" in node.log()


def test_clients_that_ask_until_the_end_do_not_keep_it_from_ending(start, shop):
    node = start(resp_extra=ONE)
    def ask():
        try:
            client = Raw(node.port)
            for i in range(1_000_000):
                client.command("GET", f"item:{i % 100}")
        except OSError:
            pass
    askers = [threading.Thread(target=ask, daemon=True) for _ in range(8)]
    for asker in askers:
        asker.start()
    time.sleep(0.3)
    assert node.stop() == 0
    for asker in askers:
        asker.join(10)


@pytest.fixture
def certificate(tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout",
                    tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    (tmp_path / "key.pem").chmod(0o600)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_two_listeners_drain_at_the_same_time(start, postgres, certificate, threads):
    import redis
    tls_port = free_port()
    node = start(slow_body(postgres, 8), node_extra='drain_timeout = "2s"', resp_extra=f'threads = {threads}\ntls_listen = "127.0.0.1:{tls_port}"\n'
                 'tls_cert = "cert.pem"\ntls_key = "key.pem"')
    plain = node.client()
    secure = redis.Redis("127.0.0.1", tls_port, ssl=True, ssl_cert_reqs="none", socket_timeout=15)
    assert plain.get("item:1") == secure.get("item:1") == b"item 1"
    for client in (plain, secure):
        threading.Thread(target=lambda c=client: pytest.raises(redis.exceptions.RedisError, c.get, "slow:5"), daemon=True).start()
    time.sleep(0.3)
    began = time.monotonic()
    node.process.send(signal.SIGTERM)
    wait_for(lambda: "cut off at the end of drain_timeout" in node.log(), 10, "both are cut off")
    assert 1.8 < time.monotonic() - began < 3.5
    assert "2 connections cut off" in node.log()
    assert node.process.wait() == 0


def test_a_renamed_feature_is_one_line_for_each_name(start, shop):
    node = start()
    node.write_config(SHOP.replace("[features.short]", "[features.brief]"))
    node.process.send(signal.SIGHUP)
    wait_for(lambda: "reload: 2 changes" in node.log(), 5, "the reload is reported")
    lines = [line for line in node.log().splitlines() if "features.short" in line or "features.brief" in line]
    assert len(lines) == 2, lines
