"""CANDOR.INVALIDATE TAG with two daemons: after the answer no entry from before is served anywhere, out of no tier."""
import signal
import subprocess
import time

import pytest

import river
from support import BUILD, RespError, wait_for

TAGS = 'tags = ["catalog", "one:{1}"]'
PARTS = """
[features.part]
origin = "shop"
load  = "select :key1 || '/' || body from item where id = :key2"
tags  = ["user:{1}", "catalog"]
ttl   = "10m"
"""


@pytest.fixture
def pair(start, shop, tmp_path, redis_server):
    text = river.body(river.shared(redis_server.port), loose_extra=TAGS) + PARTS
    river.install_feed(tmp_path, text)
    nodes = [start(text) for _ in range(2)]
    for node in nodes:
        wait_for(lambda node=node: node.metric("candor_region_nodes") == 2, 10, "both are heard")
    return nodes


def cached(pair, shop, names, ids, value):
    """Both nodes and L2 hold what was there before; the database then holds `value`, and nobody was told."""
    clients = [node.raw() for node in pair]
    for client in clients:
        assert all(isinstance(one, bytes) for one in client.command("MGET", *names))
    shop.executemany("update item set body = ? where id = ?", [(value, one) for one in ids])
    for client in clients:
        assert value.encode() not in b" ".join(client.command("MGET", *names))
    return clients


def test_tag_of_all_keys_drops_them_in_every_tier(pair, shop):
    names = [f"loose:{i}" for i in range(20)]
    for turn in range(4):
        clients = cached(pair, shop, names, [str(i) for i in range(20)], f"turn {turn}")
        assert clients[turn % 2].command("CANDOR.INVALIDATE", "TAG", "catalog") == 1
        for client in clients:
            assert client.command("MGET", *names) == [f"turn {turn}".encode()] * 20


def test_tag_of_one_key_leaves_the_others(pair, shop):
    names = ["loose:1", "loose:2"]
    for turn in range(4):
        one, two = cached(pair, shop, names, ["1", "2"], f"turn {turn}")
        before = two.command("GET", "loose:2")
        assert one.command("CANDOR.INVALIDATE", "TAG", "one:1") == 1
        for client in (one, two):
            assert client.command("GET", "loose:1") == f"turn {turn}".encode()
            assert client.command("GET", "loose:2") == before
        assert one.command("CANDOR.INVALIDATE", "loose:2") == 1


def test_tag_of_a_column_reaches_the_keys_of_that_column_in_its_feature(pair, shop):
    names = ["part:7:1", "part:7:2", "part:8:1"]
    one, two = cached(pair, shop, names, ["1", "2"], "new")
    assert two.command("CANDOR.INVALIDATE", "TAG", "user:7") == 1
    for client in (one, two):
        assert client.command("MGET", *names) == [b"7/new", b"7/new", b"8/item 1"]
    assert one.command("CANDOR.INVALIDATE", "TAG", "catalog") == 1
    for client in (one, two):
        assert client.command("GET", "part:8:1") == b"8/new"


def test_node_that_starts_later_does_not_find_the_old_value_in_l2(start, pair, shop, redis_server):
    clients = cached(pair, shop, ["loose:1", "loose:2"], ["1", "2"], "new")
    assert clients[0].command("CANDOR.INVALIDATE", "TAG", "one:1") == 1
    late = start(river.body(river.shared(redis_server.port), loose_extra=TAGS) + PARTS, name="late")
    client = late.raw()
    assert client.command("GET", "loose:1") == b"new"
    assert client.command("GET", "loose:2") == b"item 2"  # out of L2: it has another tag
    assert late.metric("candor_reads_total", feature="loose", tier="l2") == 1


def test_l2_that_is_away_is_said_and_its_old_entries_are_not_read(pair, shop, redis_server):
    one, _ = cached(pair, shop, ["loose:1"], ["1"], "new")
    redis_server.process.send(signal.SIGSTOP)
    try:
        answer = one.command("CANDOR.INVALIDATE", "TAG", "catalog")
        assert isinstance(answer, RespError) and "L2" in str(answer), answer
        assert one.command("GET", "loose:1") == b"new"
    finally:
        redis_server.process.send(signal.SIGCONT)
    def is_paid():
        return pair[0].metric("candor_owed_invalidations") == 0 and one.command("CANDOR.INVALIDATE", "TAG", "catalog") == 1
    wait_for(is_paid, 20, "L2 was told")
    assert one.command("GET", "loose:1") == b"new"


def test_clients_that_keep_values_are_told(pair):
    client = river.Tracker(pair[1].port)
    assert client.command("GET", "loose:1") == b"item 1"
    assert pair[0].raw().command("CANDOR.INVALIDATE", "TAG", "one:1") == 1
    client.wait_invalidated(None)


def test_tag_that_nobody_has_is_an_error(pair):
    client = pair[0].raw()
    for words in (("TAG", "catalogue"), ("TAG", "two:1")):
        answer = client.command("CANDOR.INVALIDATE", *words)
        assert isinstance(answer, RespError) and "no feature has the tag" in str(answer), answer


def test_its_time_does_not_grow_with_the_keys(start, shop, tmp_path, redis_server):
    """A flush of the feature walks through L2; a tag does not."""
    shop.execute("with recursive n(i) as (select 0 union all select i + 1 from n where i < 20000) "
                 "insert or ignore into item select i, 'item ' || i from n")
    node = start(river.body(river.shared(redis_server.port), loose_extra=TAGS))
    client = node.raw()
    for begin in range(0, 20000, 500):
        assert None not in client.command("MGET", *[f"loose:{i}" for i in range(begin, begin + 500)])
    time.sleep(2)  # it listens for other nodes first
    def took(*words):
        begin = time.monotonic()
        assert client.command(*words) == 1
        return time.monotonic() - begin
    by_tag = min(took("CANDOR.INVALIDATE", "TAG", "catalog") for _ in range(5))
    by_feature = took("CANDOR.INVALIDATE", "FEATURE", "loose")
    print(f"tag {by_tag * 1000:.2f} ms, feature {by_feature * 1000:.2f} ms, 20,000 keys")
    assert by_tag < 0.02


@pytest.mark.parametrize("tags, what", [
    ('["a b"]', "no blanks"), ('["user:{2}"]', "names column 2 of the key, which has 1"), ('["x{0}"]', "{n} stands for column n"),
    ('["a", "a"]', "twice"), ('["a", "b", "c", "d", "e", "f", "g", "h", "i"]', "at most 8")])
def test_check_says_what_is_wrong_with_tags(tmp_path, shop, tags, what):
    path = tmp_path / "candor.toml"
    path.write_text(river.body(loose_extra=f"tags = {tags}"))
    done = subprocess.run([BUILD / "candor", "check", path], cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20,
                          check=False)
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("tags"))
    assert done.returncode != 0 and what in done.stdout + done.stderr and f"candor.toml:{line}: features.loose.tags" in done.stdout + done.stderr, done
