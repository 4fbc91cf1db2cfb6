"""Plain features (origin = "none") on an L2 that two daemons share: Redis is the values' home, both nodes see the same."""
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from support import wait_for

BODY = """
[l2]
url = "redis://127.0.0.1:{port}/0"
[features.cache]
origin = "none"
"""


@pytest.fixture
def pair(start, redis_server):
    body = BODY.format(port=redis_server.port)
    return [start(body, resp_extra='plain_feature = "cache"').client() for _ in range(2)]


def test_what_one_node_stores_the_other_reads(pair):
    one, two = pair
    assert two.get("k") is None
    assert one.set("k", "v1")
    assert two.get("k") == b"v1"
    assert two.set("cache:k", b"\x00\xff" * 1000)
    assert one.get("k") == b"\x00\xff" * 1000


def test_deleted_keys_are_gone_for_the_other_node(pair):
    one, two = pair
    one.mset({"a": 1, "b": 2, "c": 3})
    assert two.delete("a", "b", "none") == 2
    assert one.mget("a", "b", "c") == [None, None, b"3"]
    assert one.exists("a", "c", "c") == 2


def test_expiry_is_seen_and_kept_by_both(pair):
    one, two = pair
    one.set("k", "v", ex=100)
    assert 98 <= two.ttl("k") <= 100
    one.set("short", "v", px=300)
    assert 0 < two.pttl("short") <= 300
    wait_for(lambda: two.get("short") is None, 5, "the value expires")
    assert two.ttl("short") == -2
    one.set("k", "v")
    assert two.ttl("k") == -1


def test_what_depends_on_the_value_is_one_step_for_both(pair):
    one, two = pair
    assert one.set("k", "v", nx=True)
    assert two.set("k", "w", nx=True) is None
    assert two.set("k", "w", xx=True, get=True) == b"v"
    assert one.expire("k", 100)
    assert two.set("k", "x", keepttl=True)
    assert 98 <= one.ttl("k") <= 100
    assert two.persist("k") and one.ttl("k") == -1
    assert two.getdel("k") == b"x"
    assert one.getdel("k") is None


def test_increments_through_both_nodes_are_all_counted(pair):
    def many(client):
        with client.pipeline(transaction=False) as pipe:
            for _ in range(500):
                pipe.incr("n")
            return pipe.execute()

    with ThreadPoolExecutor(2) as pool:
        sums = [n for done in pool.map(many, pair) for n in done]
    assert sorted(sums) == list(range(1, 1001))
    assert pair[0].get("n") == b"1000"


def test_acknowledged_values_survive_the_node_that_took_them(start, redis_server):
    body = BODY.format(port=redis_server.port)
    one, two = (start(body, resp_extra='plain_feature = "cache"') for _ in range(2))
    with one.client().pipeline(transaction=False) as pipe:
        for i in range(200):
            pipe.set(f"k{i}", f"v{i}")
        assert all(pipe.execute())
    one.process.kill()
    assert two.client().mget([f"k{i}" for i in range(200)]) == [f"v{i}".encode() for i in range(200)]


def test_without_redis_a_write_is_an_error_and_a_read_is_not_nil(start, redis_server):
    node = start(BODY.format(port=redis_server.port), resp_extra='plain_feature = "cache"')
    client = node.client()
    client.set("k", "v")
    redis_server.kill()
    with pytest.raises(redis.ResponseError, match="^ORIGINDOWN (not written|unknown outcome): "):
        client.set("k", "w")
    with pytest.raises(redis.ResponseError):
        client.get("k")
    assert client.ping()
