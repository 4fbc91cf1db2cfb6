"""Bad input: every class of it has an answer, nothing crashes, and no other client notices."""
import socket
import time

import pytest
import redis

from support import Raw, RespError, wait_for


@pytest.fixture
def neighbour(node):
    """A client that must be unharmed at the end."""
    client = node.client()
    assert client.get("item:1") == b"item 1"
    yield client
    assert client.get("item:1") == b"item 1"
    assert node.process.alive()


def test_unknown_feature(node, neighbour):
    with pytest.raises(redis.ResponseError, match="^NOFEATURE"):
        neighbour.get("nobody:1")


def test_key_without_a_colon(node, neighbour):
    with pytest.raises(redis.ResponseError, match="^NOFEATURE"):
        neighbour.get("lonely")


def test_key_longer_than_the_limit(node, neighbour):
    with pytest.raises(redis.ResponseError, match="^LIMIT"):
        neighbour.get("item:" + "k" * 5000)


def test_key_at_the_limit_is_fine(node, neighbour):
    assert neighbour.get("item:" + "k" * 4000) is None


def test_value_longer_than_the_limit_is_refused_before_it_is_read(node, neighbour):
    raw = node.raw()
    raw.send(b"*3\r\n$3\r\nSET\r\n$7\r\nplain:a\r\n$104857600\r\n")
    assert isinstance(raw.reply(), RespError)


def test_announced_lengths_take_no_memory(node, neighbour):
    sockets = []
    for _ in range(50):
        raw = node.raw()
        raw.send(b"*3\r\n$3\r\nSET\r\n$7\r\nplain:a\r\n$67000000\r\nonly this")
        sockets.append(raw)
    time.sleep(0.3)
    status = open(f"/proc/{node.process.pid}/statm").read().split()
    assert int(status[1]) * 4096 < 400 * 2**20, "50 announced values of 64 MiB must not be allocated"


MALFORMED = {
    "multibulk length is not a number": b"*x\r\n",
    "multibulk length is huge": b"*99999999999\r\n",
    "bulk length is missing": b"*1\r\nPING\r\n",
    "bulk length is not a number": b"*1\r\n$x\r\n",
    "bulk length is negative": b"*1\r\n$-5\r\n",
    "bulk length is huge": b"*1\r\n$99999999999\r\n",
    "bulk has no end": b"*1\r\n$4\r\nPINGxx",
    "line without an end": b"A" * 70_000,
    "unbalanced quotes": b'GET "item:1\r\n',
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_request_gets_an_error_and_is_closed(node, neighbour, kind):
    raw = node.raw()
    raw.send(MALFORMED[kind])
    answer = raw.reply()
    assert isinstance(answer, RespError) and str(answer).startswith("ERR Protocol error"), answer
    assert raw.is_closed()


@pytest.mark.parametrize("data", [b"\x00" * 1000, bytes(range(256)) * 20, b"\r\n" * 500, b"*0\r\n" * 500, b"*-1\r\n" * 50])
def test_noise_does_no_harm(node, neighbour, data):
    raw = node.raw(timeout=1)
    raw.send(data)
    raw.close()


@pytest.mark.parametrize("opening", [b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"POST /set HTTP/1.1\r\nHost: x\r\n\r\nSET plain:a 1\r\n",
                                     b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100],
                         ids=["http get", "http post", "http2 preface", "tls hello"])
def test_other_protocols_are_refused_and_logged(node, neighbour, opening):
    raw = node.raw()
    raw.send(opening)
    try:
        while not isinstance(raw.reply(), RespError):
            pass
    except (ConnectionError, AssertionError):
        pass
    assert raw.is_closed()
    assert neighbour.get("plain:a") is None
    wait_for(lambda: node.metric("candor_connections_cut_total", reason="foreign_protocol") >= 1, 3, "it is counted")
    assert "closed" in node.log(), "and the log says who it was"


def test_wrong_number_of_arguments(node, neighbour):
    answer = node.raw().command("GET")
    assert str(answer) == "ERR wrong number of arguments for 'get' command"


def test_sql_that_fails_names_the_feature_and_leaves_others_alone(node, neighbour):
    with pytest.raises(redis.ResponseError) as error:
        neighbour.get("broken:1")
    assert "broken" in str(error.value) and "overflow" in str(error.value)


def test_a_constraint_refuses_the_write_and_nothing_is_cached(node, neighbour):
    with pytest.raises(redis.ResponseError, match="(?i)constraint"):
        neighbour.set("narrow:1", "longer than ten")
    assert neighbour.get("narrow:1") is None


def test_expiry_options_on_a_feature_with_an_origin_are_an_error(node, neighbour):
    with pytest.raises(redis.ResponseError):
        neighbour.set("item:1", "x", px=1000)
    assert neighbour.get("item:1") == b"item 1"


def test_sql_in_a_key_is_only_a_key(node, neighbour, shop):
    assert neighbour.get("item:1' or '1'='1") is None
    neighbour.set("item:x'); drop table item; --", "v")
    assert shop.execute("select count(*) from item").fetchone() == (101,)


def resident_bytes(node):
    return int(open(f"/proc/{node.process.pid}/statm").read().split()[1]) * 4096


def test_a_client_that_never_reads_costs_bounded_memory_and_is_cut_off(start, shop):
    node = start(resp_extra='output_max = "2MiB"\noutput_timeout = "2s"')
    node.client().set("plain:big", b"x" * 500_000)
    before = resident_bytes(node)
    raw = node.raw(timeout=2, receive_buffer=4096)
    try:
        for _ in range(2_000):  # a gigabyte of answers
            raw.send(Raw.encode("GET", "plain:big"))
    except OSError:
        pass
    time.sleep(0.5)
    assert resident_bytes(node) - before < 20 * 2**20
    wait_for(lambda: node.metric("candor_connections_cut_total", reason="slow_reader") == 1, 10, "it is cut off and counted")
    assert node.client().get("plain:big") == b"x" * 500_000


def test_a_subscriber_that_never_reads_is_cut_off(start, shop):
    node = start(resp_extra='output_max = "2MiB"')
    raw = node.raw(receive_buffer=4096)
    raw.command("SUBSCRIBE", "news")
    client = node.client()
    wait_for(lambda: client.publish("news", b"x" * 500_000) == 0, 20, "the subscriber is gone")
    assert client.ping()


def test_globs_take_linear_time(node, neighbour):
    neighbour.set("plain:" + "a" * 200, "1")
    begin = time.monotonic()
    neighbour.execute_command("SCAN", "0", "MATCH", "*a" * 60 + "b")
    assert time.monotonic() - begin < 1


def test_connections_beyond_the_limit_are_refused(start, shop):
    node = start(resp_extra="connections_max = 5")
    held = [node.raw() for _ in range(5)]
    assert all(raw.command("PING") == "PONG" for raw in held)
    late = node.raw()
    late.send(Raw.encode("PING"))
    try:
        assert isinstance(late.reply(), RespError)
    except (ConnectionError, OSError):
        pass
    assert late.is_closed()
    assert held[0].command("PING") == "PONG"


# ---- AUTH ----

@pytest.fixture
def guarded(start, shop):
    import subprocess
    from support import BUILD, SHOP
    hashed = subprocess.run([BUILD / "candor", "hash-password"], input="secret\n", capture_output=True, text=True, check=True).stdout.strip().splitlines()[-1]
    users = f'[[resp.users]]\nname = "default"\npassword_hash = "{hashed}"\n'
    reader = f'[[resp.users]]\nname = "reader"\npassword_hash = "{hashed}"\nrights = ["read"]\n'
    return start(users + reader + SHOP)


def test_without_auth_nothing_is_served(guarded):
    answer = guarded.raw().command("GET", "item:1")
    assert str(answer).startswith("NOAUTH")


def test_wrong_password(guarded):
    assert str(guarded.raw().command("AUTH", "guess")).startswith("WRONGPASS")


def test_right_password(guarded):
    raw = guarded.raw()
    assert raw.command("AUTH", "secret") == "OK"
    assert raw.command("GET", "item:1") == b"item 1"


def test_a_reader_may_not_write(guarded):
    raw = guarded.raw()
    assert raw.command("AUTH", "reader", "secret") == "OK"
    assert raw.command("GET", "item:1") == b"item 1"
    assert str(raw.command("SET", "item:1", "x")).startswith("NOPERM")


def test_before_auth_limits_are_small(guarded):
    raw = guarded.raw()
    raw.send(b"*1000\r\n$4\r\nPING\r\n")
    assert isinstance(raw.reply(), RespError)
    assert raw.is_closed()


def test_passwords_do_not_reach_the_log(guarded):
    guarded.raw().command("AUTH", "my-secret-guess")
    guarded.raw().command("HELLO", "3", "AUTH", "default", "my-secret-guess")
    assert "my-secret-guess" not in guarded.log()
