"""What the daemon says of its change river: readiness, reasons, metrics, status; with real databases and streams."""
import sqlite3
import subprocess
import time

import pytest

import river
from support import BUILD, free_port, wait_for


def update(folder, key, value):
    database = sqlite3.connect(folder / "shop.db", isolation_level=None, timeout=10)
    database.execute("update item set body = ? where id = ?", (value, key))
    database.close()


def labels_of(node, name):
    """{labels as text: value} of a metric's samples."""
    found = {}
    for line in node.http("/metrics")[2].decode().splitlines():
        if line.startswith(name + "{"):
            head, _, value = line.rpartition(" ")
            found[head[len(name):]] = float(value)
    return found


# ---- /readyz ----

def test_node_is_not_ready_before_its_stream_is_there(start, shop, tmp_path, redis_server):
    port = free_port()
    text = river.body(river.shared(redis_server.port, f"nats://127.0.0.1:{port}"))
    river.install_feed(tmp_path, text)
    node = river.launch(start(text, ready=False, node_extra='ready_patience = "60s"'))
    status, reason = river.readiness(node)
    assert status == 503 and "catching up: the region stream is not connected" in reason, reason
    time.sleep(1)
    assert river.readiness(node)[0] == 503 and node.http("/healthz")[0] == 200
    assert node.raw().command("GET", "item:1") == b"item 1"  # it serves whoever comes
    server = river.NatsServer(tmp_path, port=port)
    try:
        wait_for(lambda: river.readiness(node)[0] == 200, 15, "the stream is there")
        assert node.metric("candor_ready") == 1
    finally:
        server.stop()
    # Readiness does not flap: what goes away later is a reason, no verdict.
    wait_for(lambda: "degraded: stream" in river.readiness(node)[1], 10, "the stream's end is said")
    assert river.readiness(node)[0] == 200 and node.metric("candor_degraded", reason="stream") == 1
    update(tmp_path, "1", "nobody can say so")
    wait_for(lambda: "degraded: unproven:shop" in river.readiness(node)[1], 15, "nothing is proven any more")
    assert river.readiness(node)[0] == 200
    assert "degraded: stream" in node.log()


def test_node_takes_part_after_its_patience(start, shop, tmp_path, redis_server):
    text = river.body(river.shared(redis_server.port, f"nats://127.0.0.1:{free_port()}"))
    river.install_feed(tmp_path, text)
    node = river.launch(start(text, ready=False, node_extra='ready_patience = "1500ms"'))
    assert river.readiness(node)[0] == 503
    wait_for(lambda: river.readiness(node)[0] == 200, 5, "patience ends")
    wait_for(lambda: "degraded: stream" in river.readiness(node)[1], 5, "the reason is said")
    assert "ready without having caught up: the region stream is not connected" in node.log()


def test_missing_triggers_are_loud_and_mended_while_running(start, shop, tmp_path):
    node = river.launch(start(river.body(), ready=False, node_extra='ready_patience = "60s"'))
    wait_for(lambda: "misconfigured" in river.readiness(node)[1], 10, "the reason is said")
    status, reason = river.readiness(node)
    assert status == 503 and "candor feed install" in reason, reason
    assert node.metric("candor_degraded", reason="feed_misconfigured:shop") == 1
    wait_for(lambda: "candor feed install" in node.log(), 5, "the log says what to do")
    river.install_feed(tmp_path, river.body())
    wait_for(lambda: river.readiness(node)[0] == 200, 30, "the feed is there")
    wait_for(lambda: river.readiness(node)[1] == "ready\n", 10, "all is well")
    wait_for(lambda: "all is well again" in node.log(), 5, "the log says that it is over")


def got(client, *command):
    """CANDOR.GET's answer by field."""
    fields = client.command("CANDOR.GET", *command)
    return fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2]))


def test_table_that_nobody_hears_of_holds_up_no_other(start, shop, tmp_path, redis_server):
    """Two nodes: the one that does not read the feed must know as well."""
    heard = river.body(river.shared(redis_server.port))
    river.install_feed(tmp_path, heard)
    text = heard + """
[features.price]
origin = "shop"
load  = "select amount from price where id = :key"
watch = { table = "price", key = "id" }
ttl   = "10m"
"""
    shop.execute("create table price (id integer primary key, amount text)")
    shop.execute("insert into price values (1, 'ten')")
    nodes = [start(text) for _ in range(2)]
    leaders = [node for node in nodes if node.metric("candor_feed_state", origin="shop", state="leading")]
    assert len(leaders) == 1
    for node in nodes:
        wait_for(lambda node=node: node.metric("candor_degraded", reason="unheard:price") == 1, 10, "every node says so")
        wait_for(lambda node=node: "no triggers log the changes of table price" in node.log(), 5, "the log says what to do")
        assert node.metric("candor_degraded", reason="feed_misconfigured:shop") == 0
        shown = river.status_of(node)
        assert [one["feature"] for one in shown["river"]["origins"][0]["unheard"]] == ["price"], shown["river"]
        assert {f["name"]: f["served_as"] for f in shown["features"]}["price"] == "eventual"
    tool = subprocess.run([BUILD / "candor", "status", "--at", f"127.0.0.1:{nodes[0].http_port}"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20, check=False).stdout
    assert "DEGRADED: unheard:price" in tool and "NOT HEARD: feature price: no triggers" in tool, tool

    clients = [node.raw() for node in nodes]
    for client in clients:
        assert client.command("GET", "price:1") == b"ten"
        assert client.command("GET", "item:1") == b"item 1"
        assert got(client, "item:1", "BOUNDED", "60000")[b"tier"] == b"l1"
    shop.execute("update price set amount = 'twelve' where id = 1")
    update(tmp_path, "1", "heard")
    for client in clients:
        wait_for(lambda client=client: client.command("GET", "item:1") == b"heard", 5, "the other table is heard of")
        assert got(client, "price:1")[b"tier"] == b"l1"
        assert client.command("GET", "price:1") == b"ten", "by its ttl alone"
        # What is loaded past the tiers is kept, as with any feature: each level is asked once, of a value of its own.
    for number, (client, level) in enumerate([(clients[0], ["STRONG"]), (clients[1], ["BOUNDED", "60000"])]):
        shop.execute("update price set amount = ? where id = 1", (f"new {number}",))
        answer = got(client, "price:1", *level)
        assert answer[b"tier"] == b"origin" and answer[b"value"] == f"new {number}".encode(), answer
    shop.execute("update price set amount = 'last' where id = 1")
    time.sleep(0.5)
    assert clients[0].command("GET", "price:1") == b"new 0" and clients[1].command("GET", "price:1") == b"new 1"

    river.install_feed(tmp_path, text)
    for node, client in zip(nodes, clients):
        wait_for(lambda client=client: client.command("GET", "price:1") == b"last", 10, "what was missed is not served")
        wait_for(lambda node=node: node.metric("candor_degraded", reason="unheard:price") == 0, 10, "all is well")
        assert client.command("GET", "item:1") == b"heard"
    shop.execute("update price set amount = 'heard too' where id = 1")
    for client in clients:
        wait_for(lambda client=client: client.command("GET", "price:1") == b"heard too", 5, "the table is heard of")
        wait_for(lambda client=client: got(client, "price:1", "BOUNDED", "60000")[b"tier"] == b"l1", 5, "and proven")


def test_node_without_watched_origins_waits_for_nothing(start, shop):
    node = start()
    assert river.readiness(node) == (200, "ready\n")
    assert river.status_of(node)["river"] is None


def test_two_nodes_of_one_name_are_told_apart(start, shop, tmp_path, redis_server):
    text = river.body(river.shared(redis_server.port))
    river.install_feed(tmp_path, text)
    one = start(text, name="twin")
    two = start(text, name="other")
    two.config.write_text(two.config.read_text().replace('name = "other"', 'name = "twin"', 1))
    two.stop()
    two.start()
    for node in (one, two):
        wait_for(lambda node=node: node.metric("candor_degraded", reason="node_name_twice") == 1, 15, "the misconfiguration is seen")
    # It stays said as long as it lasts.
    for _ in range(6):
        assert one.metric("candor_degraded", reason="node_name_twice") == 1
        time.sleep(0.3)
    assert "two nodes of the region are called 'twin'" in one.log()
    two.stop()
    wait_for(lambda: one.metric("candor_degraded", reason="node_name_twice") == 0, 15, "the twin is gone")


# ---- figures ----

@pytest.fixture
def pair(start, shop, tmp_path, redis_server):
    text = river.body(river.shared(redis_server.port))
    river.install_feed(tmp_path, text)
    return [start(text) for _ in range(2)]


def test_metrics_of_the_river(pair, tmp_path):
    for i in range(20):
        for node in pair:
            assert node.raw().command("GET", f"item:{i}") is not None
        update(tmp_path, str(i), f"new {i}")
    for node in pair:
        wait_for(lambda node=node: node.metric("candor_change_lag_seconds_count", stage="applied") >= 20, 10, "changes are applied")
        assert node.metric("candor_changes_applied_total", origin="shop") >= 20
        assert node.metric("candor_invalidations_total", feature="item", cause="change") >= 20
        assert node.metric("candor_invalidations_total", feature="loose", cause="change") == 0
        assert 0 < node.metric("candor_fresh_within_seconds", origin="shop") < 3
        assert node.metric("candor_floor_settled", origin="shop") == 1
        assert node.metric("candor_stream_connected") == 1
        assert node.metric("candor_origin_probes_total", outcome="ok") > 0
        wait_for(lambda node=node: node.metric("candor_region_nodes") == 2, 5, "both are heard")
        mean = node.metric("candor_change_lag_seconds_sum", stage="applied") / node.metric("candor_change_lag_seconds_count", stage="applied")
        assert 0 < mean < 1, mean
    leaders = [node for node in pair if node.metric("candor_feed_state", origin="shop", state="leading")]
    assert len(leaders) == 1
    leader, other = leaders[0], pair[1 - pair.index(leaders[0])]
    assert other.metric("candor_feed_state", origin="shop", state="standby") == 1
    for stage in ("feed", "l2", "append"):
        assert leader.metric("candor_change_lag_seconds_count", stage=stage) >= 20, stage
        assert other.metric("candor_change_lag_seconds_count", stage=stage) == 0
    assert leader.metric("candor_feed_changes_total", origin="shop") >= 20
    assert leader.metric("candor_publisher_debts", kind="owed") == 0
    help_text = leader.http("/metrics")[2].decode()
    assert "# HELP candor_change_lag_seconds From the commit of a change, by the origin's clock" in help_text


def test_gap_is_counted_and_everything_is_suspect_until_it_is_proven_again(pair, redis_server, tmp_path):
    node = pair[0]
    assert node.raw().command("GET", "item:1") == b"item 1"
    floors = node.metric("candor_floors_total", origin="shop")
    whole = node.metric("candor_invalidations_total", feature="item", cause="whole")
    client = redis_server.client()
    streams = [key for key in client.scan_iter("*", count=1000) if client.type(key) == b"stream"]
    assert len(streams) == 1, streams
    client.delete(streams[0])  # by hand: its messages are gone
    update(tmp_path, "1", "written while nobody could say so")
    wait_for(lambda: node.metric("candor_stream_gaps_total") >= 1, 15, "the gap is seen")
    assert node.metric("candor_floors_total", origin="shop") > floors
    wait_for(lambda: node.metric("candor_floor_settled", origin="shop") == 1, 15, "the floor settles")
    assert node.metric("candor_invalidations_total", feature="item", cause="whole") > whole
    said = node.log()
    assert "origin shop: nothing loaded before now is trusted (everything): a gap in the region stream: " in said, said
    wait_for(lambda: "origin shop: the floor has settled after " in node.log(), 5, "the log says that it is over")
    floor = river.status_of(node)["river"]["origins"][0]["last_floor"]
    assert floor["reason"].startswith("a gap in the region stream: ") and floor["feature"] == "" and floor["ago_ms"] < 60_000, floor
    shown = subprocess.run([BUILD / "candor", "status", "--at", f"127.0.0.1:{node.http_port}"], stdin=subprocess.DEVNULL, capture_output=True,
                           text=True, timeout=20, check=False)
    assert "ago, settled: a gap in the region stream: " in shown.stdout, shown.stdout + shown.stderr
    wait_for(lambda: node.raw().command("GET", "item:1") == b"written while nobody could say so", 5, "the new value is read")


def test_writes_and_commands_are_counted_by_cause(pair):
    client = pair[0].raw()
    client.command("GET", "item:1")
    client.command("SET", "item:1", "x")
    assert client.command("CANDOR.INVALIDATE", "item:2", "loose:1") == 2
    counted = labels_of(pair[0], "candor_invalidations_total")
    assert counted['{feature="item",region="local",cause="write"}'] == 1
    assert counted['{feature="loose",region="local",cause="command"}'] >= 1


def test_status_of_the_tool_shows_the_river(pair, tmp_path):
    node = pair[0]
    update(tmp_path, "1", "new")
    wait_for(lambda: node.metric("candor_change_lag_seconds_count", stage="applied") >= 1, 10, "the change is applied")
    wait_for(lambda: node.metric("candor_region_nodes") == 2, 5, "both are heard")
    done = subprocess.run([BUILD / "candor", "status", "--at", f"127.0.0.1:{node.http_port}"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    assert "connected, 2 nodes, 0 gaps" in lines["stream"], done.stdout
    assert "shop: " in lines["feed"] and "fresh within" in lines["feed"] and "commit to applied p99" in lines["feed"], done.stdout
    shown = river.status_of(node)["river"]
    assert shown["nodes"] == [n.name for n in pair] or sorted(shown["nodes"]) == sorted(n.name for n in pair)
    assert shown["origins"][0]["lag"]["applied"]["count"] >= 1


PG_WATCHED = """
[origins.pg]
url = "{url}"
[features.item]
origin = "pg"
load  = "select body from item where id = :key"
watch = {{ table = "item", key = "id" }}
"""


def test_slot_of_postgresql_is_shown(start, postgres):
    node = start(PG_WATCHED.format(url=postgres.url), node_extra='region = "slotted"')
    try:
        client = river.Tracker(node.port)
        assert client.command("GET", "item:1") == b"item 1"
        postgres.sql("update item set body = 'new' where id = '1'")
        client.wait_invalidated("item:1")
        assert node.metric("candor_feed_state", origin="pg", state="leading") == 1
        assert node.metric("candor_change_lag_seconds_count", origin="pg", stage="applied") >= 1
        assert labels_of(node, "candor_replication_slot_retained_bytes"), "the slot's retained bytes are there"
    finally:
        node.stop()
        for (slot,) in postgres.sql("select slot_name from pg_replication_slots"):
            wait_for(lambda slot=slot: postgres.sql("select pg_drop_replication_slot(%s)", slot), 10, "the slot is free")
        postgres.sql("drop publication if exists candor_pg")
