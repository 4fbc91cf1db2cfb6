"""Reads and writes as a Redis client sees them."""
import time

import pytest
import redis

from support import Raw, RespError, wait_for


def test_get_reads_through_to_the_database(node):
    assert node.client().get("item:7") == b"item 7"


def test_second_read_is_answered_without_the_origin(node):
    client = node.client()
    client.get("item:1")
    loads = node.metric("candor_origin_loads_total", feature="item")
    assert client.get("item:1") == b"item 1"
    assert node.metric("candor_origin_loads_total", feature="item") == loads


def test_a_row_that_does_not_exist_is_nil_and_remembered(node, shop):
    client = node.client()
    assert client.get("shown:none") is None
    shop.execute("insert into item values ('none', 'now')")
    assert client.get("shown:none") is None  # negative result, within its ttl


def test_negative_result_ends_with_its_ttl(node, shop):
    client = node.client()
    assert client.get("shown:late") is None
    shop.execute("insert into item values ('late', 'now')")
    wait_for(lambda: client.get("shown:late") == b"now", 5, "the negative result expires")


def test_null_column_is_a_negative_result(node, shop):
    shop.execute("insert into item values ('null', null)")
    assert node.client().get("item:null") is None


def test_value_expires_with_its_ttl(node, shop):
    client = node.client()
    assert client.get("short:3") == b"item 3"
    shop.execute("update item set body = 'changed' where id = '3'")
    wait_for(lambda: client.get("short:3") == b"changed", 5, "the value expires")


def test_mget_keeps_order_and_mixes_hits_misses_and_absent_rows(node):
    client = node.client()
    client.get("item:2")
    assert client.mget("item:1", "item:2", "item:absent", "shown:4") == [b"item 1", b"item 2", None, b"item 4"]


def test_mget_of_many_misses_answers_all(node):
    keys = [f"item:{i}" for i in range(100)]
    assert node.client().mget(keys) == [f"item {i}".encode() for i in range(100)]


def test_set_writes_to_the_database_before_it_answers(node, shop):
    assert node.client().set("item:5", "five") is True
    assert shop.execute("select body from item where id = '5'").fetchone() == ("five",)


def test_read_after_write_gives_the_new_value(node):
    client = node.client()
    client.get("item:6")
    client.set("item:6", "six")
    assert client.get("item:6") == b"six"


def test_write_is_seen_by_other_connections_at_once(node):
    one, other = node.client(), node.client()
    other.get("item:8")
    one.set("item:8", "eight")
    assert other.get("item:8") == b"eight"


def test_del_erases_at_the_origin(node, shop):
    client = node.client()
    client.get("item:9")
    assert client.delete("item:9") == 1
    assert client.get("item:9") is None
    assert shop.execute("select count(*) from item where id = '9'").fetchone() == (0,)


def test_feature_without_store_is_read_only(node):
    with pytest.raises(redis.exceptions.ReadOnlyError):  # what the client makes of READONLY
        node.client().set("shown:1", "x")


def test_feature_without_erase_is_read_only(node):
    with pytest.raises(redis.exceptions.ReadOnlyError):  # what the client makes of READONLY
        node.client().delete("shown:1")


def test_exists_and_strlen_read_through(node):
    client = node.client()
    assert client.exists("item:1") == 1
    assert client.exists("item:absent") == 0
    assert client.strlen("item:1") == len("item 1")


def test_pttl_is_within_the_features_ttl(node):
    client = node.client()
    client.get("item:1")
    assert 0 < client.pttl("item:1") <= 60_000


def test_pipeline_answers_in_order(node):
    pipe = node.client().pipeline(transaction=False)
    for i in range(50):
        pipe.get(f"item:{i}")
        pipe.set(f"plain:{i}", f"p{i}")
        pipe.get(f"plain:{i}")
    answers = pipe.execute()
    assert answers[0::3] == [f"item {i}".encode() for i in range(50)]
    assert answers[2::3] == [f"p{i}".encode() for i in range(50)]


def test_writes_and_reads_of_one_key_in_a_pipeline_keep_their_order(node):
    pipe = node.client().pipeline(transaction=False)
    for i in range(20):
        pipe.set("item:1", f"v{i}")
        pipe.get("item:1")
    assert pipe.execute()[1::2] == [f"v{i}".encode() for i in range(20)]


def test_plain_feature_is_a_shared_cache(node):
    client = node.client()
    assert client.set("plain:a", "1", px=60_000) is True
    assert client.get("plain:a") == b"1"
    assert 0 < client.pttl("plain:a") <= 60_000
    assert client.delete("plain:a") == 1
    assert client.get("plain:a") is None


def test_plain_value_expires(node):
    client = node.client()
    client.set("plain:b", "1", px=100)
    time.sleep(0.25)
    assert client.get("plain:b") is None


def test_plain_set_nx_xx_and_get(node):
    client = node.client()
    assert client.set("plain:c", "1", nx=True) is True
    assert client.set("plain:c", "2", nx=True) is None
    assert client.set("plain:c", "3", xx=True, get=True) == b"1"
    assert client.get("plain:c") == b"3"


def test_plain_feature_takes_keys_without_prefix_when_it_is_named(start, shop):
    node = start('[features.cache]\norigin = "none"\n', resp_extra='plain_feature = "cache"')
    client = node.client()
    client.set("anything at all", "x")
    assert client.get("anything at all") == b"x"


def test_values_keep_every_byte(node):
    client = node.client()
    value = bytes(range(256)) * 16
    client.set("plain:bytes", value)
    assert client.get("plain:bytes") == value


def test_empty_value_is_not_absent(node):
    client = node.client()
    client.set("item:empty", "")
    assert client.get("item:empty") == b""


@pytest.mark.parametrize("size", [1, 4095, 4096, 100_000, 5_000_000])
def test_values_of_many_sizes(node, size):
    client = node.client()
    value = b"v" * size
    client.set("plain:size", value)
    assert client.get("plain:size") == value


# ---- RESP3, by hand: Debian's python3-redis speaks RESP2 only ----

def test_hello_3_changes_the_protocol(node):
    raw = node.raw()
    hello = raw.command("HELLO", "3")
    assert isinstance(hello, dict) and hello[b"proto"] == 3
    assert raw.command("GET", "item:absent") is None


def test_hello_2_answers_a_flat_array(node):
    hello = node.raw().command("HELLO", "2")
    assert isinstance(hello, list) and b"proto" in hello


def test_candor_get_tells_where_the_value_came_from(node):
    raw = node.raw()
    raw.command("HELLO", "3")
    first = raw.command("CANDOR.GET", "item:11")
    second = raw.command("CANDOR.GET", "item:11")
    assert set(first) >= {b"value", b"tier", b"level", b"age_ms", b"fresh_within_ms", b"ttl_ms", b"degraded"}
    assert first[b"value"] == b"item 11" and first[b"tier"] == b"origin"
    assert second[b"tier"] == b"l1" and second[b"degraded"] is None


def test_candor_get_origin_bypasses_the_cache(node, shop):
    raw = node.raw()
    raw.command("HELLO", "3")
    raw.command("GET", "item:12")
    shop.execute("update item set body = 'behind' where id = '12'")
    assert raw.command("GET", "item:12") == b"item 12"
    assert raw.command("CANDOR.GET", "item:12", "ORIGIN")[b"value"] == b"behind"


def test_candor_invalidate_drops_a_key_and_leaves_the_database(node, shop):
    client = node.client()
    client.get("item:13")
    shop.execute("update item set body = 'new' where id = '13'")
    client.execute_command("CANDOR.INVALIDATE", "item:13")
    assert client.get("item:13") == b"new"


def test_flushall_drops_the_cache_and_never_the_origin(node, shop):
    client = node.client()
    client.get("item:14")
    client.set("plain:x", "1")
    client.flushall()
    assert client.get("plain:x") is None
    assert shop.execute("select count(*) from item").fetchone() == (100,)
    assert client.get("item:14") == b"item 14"


def test_publish_reaches_a_subscriber(node):
    listener = node.client().pubsub(ignore_subscribe_messages=True)
    listener.subscribe("news")
    client = node.client()
    wait_for(lambda: client.publish("news", "hello") == 1, 5, "the subscription stands")
    message = wait_for(lambda: listener.get_message(timeout=1), 5, "the message")
    assert message["data"] == b"hello"


def test_inline_commands(node):
    raw = node.raw()
    raw.send(b"GET item:1\r\nPING\r\n")
    assert raw.reply() == b"item 1"
    assert raw.reply() == "PONG"


def test_a_request_cut_at_every_byte_is_understood(node):
    raw = node.raw()
    for byte in Raw.encode("GET", "item:1"):
        raw.send(bytes([byte]))
    assert raw.reply() == b"item 1"


def test_unknown_command_answers_as_redis_does(node):
    answer = node.raw().command("EVAL", "return 1", "0")
    assert isinstance(answer, RespError) and str(answer).startswith("ERR unknown command 'EVAL', with args beginning with: ")


def test_introspection_that_clients_open_with(node):
    client = node.client()
    assert client.ping() is True
    assert client.info()["redis_mode"] == "standalone"
    assert node.raw().command("COMMAND", "COUNT") > 40
    assert client.client_setname("me") is True and client.client_getname() == "me"
    assert client.execute_command("SELECT", "0") in (True, b"OK", "OK")
    assert isinstance(client.config_get("maxmemory"), dict)
