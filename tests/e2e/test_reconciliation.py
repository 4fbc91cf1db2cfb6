"""The sweep in real daemons: what the change feed was never told of is found by comparing with the origin, dropped everywhere, and told."""
import json
import subprocess
import time
import urllib.request

import pytest

import river
from support import BUILD, wait_for

BUDGET = '[features.item.budget]\nmax_staleness = "5s"\nstale_fraction = 0.001\nsample = 0.01\n'
SWEEP = '[reconcile]\nrate = 500\nperiod = "1s"\n'


def update_behind_the_feed(shop, key, value):
    """As a bulk load does that disables triggers: the change log hears nothing of it."""
    triggers = shop.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
    assert triggers
    shop.execute("begin immediate")
    for name, _ in triggers:
        shop.execute(f'drop trigger "{name}"')
    shop.execute("update item set body = ? where id = ?", (value, key))
    for _, sql in triggers:
        shop.execute(sql)
    shop.execute("commit")


def sweep(node):
    return json.loads(node.http("/api/v1/reconciliation")[2])


def entries(node, feature):
    return next(f["since_start"]["entries"] for f in sweep(node)["features"] if f["feature"] == feature)


def lost_keys(node):
    request = urllib.request.Request(f"http://127.0.0.1:{node.http_port}/api/v1/lost-keys", data=b"{}", method="POST",
                                     headers={"Authorization": f"Bearer {node.token()}", "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["features"]


@pytest.fixture
def node(start, shop, tmp_path):
    text = river.body(item_extra=BUDGET) + SWEEP
    river.install_feed(tmp_path, text)
    return start(text)


def test_change_behind_the_feeds_back_is_found_and_dropped_and_told(node, shop):
    client = node.client()
    for i in range(40):
        client.get(f"item:{i}")
    wait_for(lambda: entries(node, "item")["equal"] >= 40, 15, "everything was found equal")
    assert entries(node, "item")["lost"] == 0
    update_behind_the_feed(shop, "7", "nobody told")
    changed = time.monotonic()
    wait_for(lambda: client.get("item:7") == b"nobody told", 15, "the old value is gone")
    print(f"found after {time.monotonic() - changed:.2f} s")
    found = entries(node, "item")
    assert (found["lost"], found["race"], found["ttl-only"], found["l2-only"]) == (1, 0, 0, 0)
    assert node.metric("candor_reconciled_entries_total", feature="item", outcome="lost") == 1
    assert node.metric("candor_invalidations_total", feature="item", cause="reconciliation") == 1
    item = next(f for f in sweep(node)["features"] if f["feature"] == "item")["since_start"]
    assert 0 < item["divergence_per_million"] == item["per_million_by_cause"]["lost"] <= 1e6 / 40
    # The same alarm as for a lost change that a sampled read met.
    wait_for(lambda: lost_keys(node).get("item") == ["7"], 15, "the key is named to whoever has the token")
    assert "never told of" in node.log()
    wait_for(lambda: node.metric("candor_alerts_active", severity="ticket") == 1, 15, "there is an alert")
    # Once is once: the next passes find nothing.
    passes = sweep(node)["passes"]
    wait_for(lambda: sweep(node)["passes"] >= passes + 2, 15, "two more passes")
    assert entries(node, "item")["lost"] == 1


def test_changes_that_the_feed_tells_are_no_divergence(node, shop):
    client = node.client()
    end, i = time.monotonic() + 5, 0
    while time.monotonic() < end:
        i += 1
        client.get(f"item:{i % 20}")
        shop.execute("update item set body = ? where id = ?", (f"version {i}", str(i % 20)))
    found = entries(node, "item")
    assert found["equal"] > 0 and sweep(node)["passes"] >= 3
    assert (found["lost"], found["race"], found["l2-only"]) == (0, 0, 0)
    assert lost_keys(node).get("item") == []


def test_feature_that_nobody_watches_is_told_apart(node, shop):
    client = node.client()
    for i in range(20):
        client.get(f"loose:{i}")
    wait_for(lambda: entries(node, "loose")["equal"] >= 20, 15, "a pass")
    shop.execute("update item set body = 'other' where id = '3'")
    wait_for(lambda: client.get("loose:3") == b"other", 15, "found long before the ttl of ten minutes")
    assert entries(node, "loose")["ttl-only"] == 1 and entries(node, "loose")["lost"] == 0


def test_status_tells_of_the_sweep(node, shop):
    node.client().get("item:1")
    wait_for(lambda: sweep(node)["passes"] >= 2, 15, "two passes")
    update_behind_the_feed(shop, "1", "x")
    wait_for(lambda: entries(node, "item")["lost"] == 1, 15, "it is found")
    done = subprocess.run([BUILD / "candor", "status", "--at", f"127.0.0.1:{node.http_port}"], capture_output=True, text=True, timeout=20)
    assert "of L1 done, the last in" in done.stdout, done.stdout
    assert "item: " in done.stdout and "of a million entries were wrong (lost " in done.stdout, done.stdout


def test_one_nodes_finding_reaches_the_others(start, shop, tmp_path, redis_server):
    text = river.body(river.shared(redis_server.port))
    river.install_feed(tmp_path, text)
    sweeps = start(text + SWEEP, name="sweeps")
    holds = start(text + "[reconcile]\nrate = 0\n", name="holds")
    for node in (sweeps, holds):
        assert node.client().get("item:9") == b"item 9"
    assert sweep(holds)["on"] is False
    update_behind_the_feed(shop, "9", "new")
    wait_for(lambda: holds.client().get("item:9") == b"new", 20, "the other node has dropped it too")
    assert entries(sweeps, "item")["lost"] == 1
