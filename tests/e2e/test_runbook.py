"""The runbook, alarm by alarm: the cause is made, what it says to look at shows it, what it says to do ends it (docs/operations/runbook.md)."""
import json
import re
import subprocess
import time

import pytest

import river
import support
from slow_link import SlowLink
from support import BUILD, wait_for
from test_reconciliation import SWEEP, lost_keys, update_behind_the_feed

RUNBOOK = (support.ROOT / "docs" / "operations" / "runbook.md").read_text()

SHOP_ON_POSTGRES = """
[l2]
url = "redis://127.0.0.1:{redis}/0"
[origins.pg]
url = "{url}"
connect_timeout = "1s"
[features.item]
origin = "pg"
load = "select body from item where id = :key"
watch = {{ table = "item", key = "id" }}
ttl = "1s"
on_origin_failure = {{ serve_stale = "10m" }}
[features.plain]
origin = "pg"
load = "select body from item where id = :key"
ttl = "1s"
"""


def section(title):
    """The runbook has it."""
    assert f"\n## {title}\n" in RUNBOOK or f"\n### {title}\n" in RUNBOOK
    return RUNBOOK.split(f"# {title}\n")[1].split("\n## ")[0]


def tool(node, *words):
    done = subprocess.run([BUILD / "candor", *words], cwd=node.folder, capture_output=True, text=True, timeout=30)
    return done.returncode, done.stdout + done.stderr


def status(node):
    return tool(node, "status", "--at", f"127.0.0.1:{node.http_port}")


def recovers(node):
    try:
        wait_for(lambda: status(node)[0] == 0, 20, "it recovers by itself")
    except AssertionError:
        raise AssertionError(status(node)[1]) from None


@pytest.fixture
def on_postgres(start, postgres_server, postgres, redis_server):
    return start(SHOP_ON_POSTGRES.format(redis=redis_server.port, url=postgres_server.url))


def test_origin_down(on_postgres, postgres_server):
    assert "candor status" in section("origin_down")
    client = on_postgres.client()
    assert client.get("item:1") == b"item 1" and client.get("plain:1") == b"item 1"
    assert status(on_postgres)[0] == 0
    postgres_server.kill()
    try:
        wait_for(lambda: status(on_postgres)[0] == 1, 10, "candor status finds something")
        text = wait_for(lambda: "NOT connected" in (said := status(on_postgres)[1]) and said, 10, "the line of the origin")
        assert "DEGRADED: origin_down:pg" in text
        time.sleep(1.2)  # past their ttl
        assert client.get("item:1") == b"item 1", "who may be served an old value is"
        with pytest.raises(Exception, match="ORIGINDOWN"):
            client.get("plain:1")
    finally:
        postgres_server.start()
    wait_for(lambda: [client.get(f"plain:{i}") for i in range(3)], 15, "readers bring it back", 0.3)
    recovers(on_postgres)


def test_l2_down(on_postgres, redis_server):
    assert "bring Redis back" in section("l2_down")
    client = on_postgres.client()
    redis_server.kill()
    wait_for(lambda: "DEGRADED: l2_down" in status(on_postgres)[1], 10, "candor status says so")
    assert [client.get(f"plain:{i}") for i in range(50)] == [f"item {i}".encode() for i in range(50)], "reads go to the origin"
    assert on_postgres.metric("candor_origin_in_flight") is not None
    redis_server.start()
    recovers(on_postgres)


def test_change_feed_dead(start, postgres_server, postgres, redis_server):
    """A user who may not replicate: the node says what it lacks, with the SQL that mends it."""
    assert "the exact SQL or command" in section("CandorChangeFeedDead")
    postgres_server.sql("drop role if exists shopkeeper")
    postgres_server.sql("create role shopkeeper login")
    postgres_server.sql("grant select on item to shopkeeper")
    try:
        url = postgres_server.url.replace("app@", "shopkeeper@")
        node = start(SHOP_ON_POSTGRES.format(redis=redis_server.port, url=url), node_extra='ready_patience = "1s"')
        text = wait_for(lambda: "feed_misconfigured:pg" in (said := status(node)[1]) and said, 15, "candor status names the feed")
        assert "alter role shopkeeper replication;" in text
        assert node.client().get("item:1") == b"item 1", "reads go on"

        def do_what_it_says():
            said = status(node)[1]
            for statement in re.findall(r"(?:alter|create|grant) [^;\n]+;", said):
                postgres_server.sql(statement)
            return "leading" in said
        wait_for(do_what_it_says, 30, "the feed looks again by itself", 0.5)
        node.client().get("item:2")
        postgres_server.sql("update item set body = 'new' where id = '2'")
        wait_for(lambda: node.client().get("item:2") == b"new", 10, "changes are heard of")
        node.stop()
    finally:
        for slot, in postgres_server.sql("select slot_name from pg_replication_slots where not active"):
            postgres_server.sql("select pg_drop_replication_slot(%s)", slot)
        for publication, in postgres_server.sql("select pubname from pg_publication join pg_roles r on r.oid = pubowner where rolname = 'shopkeeper'"):
            postgres_server.sql(f'drop publication "{publication}"')
        postgres_server.sql("revoke all on item from shopkeeper")
        postgres_server.sql("drop role shopkeeper")


def test_lost_invalidations(start, shop, tmp_path):
    assert "lost-keys" in section("CandorLostInvalidations")
    text = river.body(item_extra='[features.item.budget]\nmax_staleness = "5s"\nstale_fraction = 0.001\nsample = 0.01\n') + SWEEP
    river.install_feed(tmp_path, text)
    node = start(text)
    client = node.client()
    for i in range(20):
        client.get(f"item:{i}")
    update_behind_the_feed(shop, "7", "nobody told")
    wait_for(lambda: lost_keys(node).get("item") == ["7"], 20, "the key is named")
    assert tool(node, "feed", "status", node.config)[0] == 0
    update_behind_the_feed(shop, "8", "nor of this")
    code, said = tool(node, "feed", "install", node.config)
    assert code == 0, said
    client.execute_command("CANDOR.INVALIDATE", "FEATURE", "item")
    assert client.get("item:8") == b"nor of this"


def test_changes_late(start, shop, tmp_path, redis_server):
    """The stage that is late is named: here the way to the region's stream and back."""
    assert "candor_change_lag_seconds" in section("CandorChangesLate")
    link = SlowLink(redis_server.port, 0.15)
    text = river.body(river.shared(redis_server.port, f"redis://127.0.0.1:{link.port}/0"))
    river.install_feed(tmp_path, text)
    node = start(text)
    client = node.client()
    for i in range(5):
        client.get(f"item:{i}")
        shop.execute("update item set body = ? where id = ?", (f"late {i}", str(i)))
        wait_for(lambda i=i: client.get(f"item:{i}") == f"late {i}".encode(), 15, "it arrives")
    stages = ["feed", "l2", "append", "applied"]
    mean = {stage: node.metric("candor_change_lag_seconds_sum", stage=stage) / node.metric("candor_change_lag_seconds_count", stage=stage)
            for stage in stages}
    steps = {after: mean[after] - mean[before] for before, after in zip(stages, stages[1:])}
    assert steps["append"] > 0.25 and steps["append"] > 3 * steps["l2"] and mean["feed"] < 0.25, mean
    link.close()


def test_a_budget_that_is_not_measured_is_said(start, shop):
    assert "not measured" in section("CandorBudgetNotMeasured")
    node = start(support.SHOP + '[features.item.budget]\nmax_staleness = "1s"\nstale_fraction = 0.01\n')
    code, said = tool(node, "budget", "--strict", "--at", f"127.0.0.1:{node.http_port}")
    assert code == 1 and "not measured" in said


def test_a_node_that_is_not_ready_says_what_it_waits_for(start, postgres_server, postgres, redis_server):
    assert "critical keys are done" in section("A node does not become ready")
    dead = support.free_port()
    body = SHOP_ON_POSTGRES.format(redis=redis_server.port, url=f"postgresql://app@127.0.0.1:{dead}/postgres")
    node = start(body.replace("[features.plain]", "[features.plain.warm]\nkeys = [\"1\", \"2\"]\npriority = \"critical\"\n[features.plain]"), ready=False,
                 node_extra='ready_patience = "500ms"')
    river.launch(node)
    wait_for(lambda: "0 of 2 critical keys are done" in river.readiness(node)[1], 10, "readyz says so")
    progress = json.loads(node.http("/api/v1/warm")[2])
    assert progress["running"] and progress["keys"]["waiting"] == 2
