"""The controller with real servers: SQLite, written by others, and a region stream over a slow link. Changes become twenty times as many;
readers know what was written when, and judge for themselves whether the budget is kept."""
import json
import math
import random
import signal
import sqlite3
import threading
import time

from river import install_feed
from slow_link import SlowLink
from support import wait_for

KEYS = 40
READS_PER_SECOND = 80
BASE_UPDATES = 0.04  # of a key, each second
ALLOWED = 0.05
MAX_STALENESS = 0.1
CAP = 100
LINK_DELAY = 0.1  # one way: a change takes two of them to arrive, and waits for the one before it

CONFIG = """
[stream]
url = "redis://127.0.0.1:{stream_port}/0"
[controller]
added_loads_max = {cap}
ttl_min = "10m"  # a shorter ttl does little about changes that arrive late
outside_for = "2s"
calm = "5s"
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load  = "select body from item where id = :key"
store = "update item set body = :value where id = :key"
watch = {{ table = "item", key = "id" }}
ttl   = "10m"
[features.item.budget]
max_staleness = "100ms"
stale_fraction = {allowed}
window = "1h"
control = "auto"
owner = "shop"
"""


class Traffic:
    """Writers straight at the database, and readers of the node who know what they should have seen."""

    def __init__(self, node, database):
        self.node, self.database, self.factor = node, database, 1.0
        self.commits = [[] for _ in range(KEYS)]  # of each key: when its version 1, 2, … was committed
        self.judged = []  # (when, how many, of these too stale)
        self.stopped = threading.Event()
        self.problems = []
        self.threads = [threading.Thread(target=self.run, args=(one,)) for one in (self.write, self.read)]
        for thread in self.threads:
            thread.start()

    def run(self, work):
        try:
            work()
        except Exception as problem:  # noqa: BLE001 told by stop()
            self.problems.append(problem)

    def write(self):
        draw = random.Random(1)
        connection = sqlite3.connect(self.database, isolation_level=None, timeout=10)
        while not self.stopped.wait(draw.expovariate(KEYS * BASE_UPDATES * self.factor)):
            key = draw.randrange(KEYS)
            connection.execute("update item set body = ? where id = ?", (str(len(self.commits[key]) + 1), str(key)))
            self.commits[key].append(time.monotonic())
        connection.close()

    def read(self):
        client, batch = self.node.client(), 10
        due = time.monotonic()
        while not self.stopped.is_set():
            keys = random.sample(range(KEYS), batch)
            before = time.monotonic()
            values = client.mget([f"item:{key}" for key in keys])
            stale = 0
            for key, value in zip(keys, values):
                seen = int(value) if value.isdigit() else 0
                missing = self.commits[key][seen:seen + 1]
                stale += bool(missing) and before - missing[0] > MAX_STALENESS
            self.judged.append((before, batch, stale))
            due += batch / READS_PER_SECOND
            self.stopped.wait(max(0.0, due - time.monotonic()))

    def fraction(self, seconds, at_least=False):
        """Of the last reads those that were too stale; at_least: what that says of reads yet to come, but for chance (two standard errors)."""
        since = time.monotonic() - seconds
        judged = [(count, stale) for when, count, stale in list(self.judged) if when >= since]
        count = sum(count for count, _ in judged)
        fraction = sum(stale for _, stale in judged) / count
        return fraction - 2 * math.sqrt(fraction * (1 - fraction) / count) if at_least else fraction

    def stop(self):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        assert not self.problems, self.problems


def levers(node):
    return json.loads(node.http("/api/v1/levers")[2])


class Loads:
    """Loads from the origin each second, and what levers are said to add."""

    def __init__(self, node):
        self.node, self.most_added, self.most_past = node, 0.0, 0.0
        self.past, self.at = node.metric("candor_reads_past_tiers_total"), time.monotonic()

    def look(self):
        past, now = self.node.metric("candor_reads_past_tiers_total"), time.monotonic()
        if now - self.at < 5:
            return
        self.most_past = max(self.most_past, (past - self.past) / (now - self.at))
        self.most_added = max(self.most_added, self.node.metric("candor_lever_loads_per_second"))
        self.past, self.at = past, now


def test_a_step_of_changes_is_met_within_the_cap_and_undone(start, shop, tmp_path, redis_server):
    link = SlowLink(redis_server.port, LINK_DELAY)
    config = CONFIG.format(stream_port=link.port, cap=CAP, allowed=ALLOWED)
    install_feed(tmp_path, config)
    node = start(config)
    traffic = Traffic(node, tmp_path / "shop.db")
    loads = Loads(node)
    try:
        time.sleep(8)
        assert levers(node)["levers"] == [], "nothing is done while the budget is kept"
        traffic.factor, began = 20.0, time.monotonic()

        wait_for(lambda: (loads.look(), levers(node)["pulled"])[1], 60, "a lever is pulled", 0.5)
        assert traffic.fraction(5) > ALLOWED, "outside, until it was"
        assert node.metric("candor_lever", feature="item", lever="origin_reads") > 0
        time.sleep(4)
        wait_for(lambda: (loads.look(), traffic.fraction(8) <= ALLOWED)[1], 180 - (time.monotonic() - began),
                 "inside again within three evaluation windows", 1)
        time.sleep(25)
        loads.look()
        kept = traffic.fraction(25)
        assert traffic.fraction(25, at_least=True) <= ALLOWED, f"and stays there: {kept}"

        action = levers(node)["levers"][-1]
        assert (action["feature"], action["lever"], action["action"], action["mode"]) == ("item", "origin_reads", "pull", "auto")
        numbers = action["numbers"]
        assert numbers["allowed"] == ALLOWED and numbers["measured_low"] > ALLOWED >= numbers["predicted_after"]
        assert 0 < numbers["loads_per_second_after"] - numbers["loads_per_second_before"] <= CAP
        assert "of reads were staler than 0.1 s" in action["reason"]

        client = node.raw()
        assert isinstance(client.command("HELLO", "3"), dict)
        told = client.command("CANDOR.BUDGET", "item")
        assert told[b"feature"] == b"item" and told[b"control"] == b"auto" and told[b"budget"][b"stale_fraction"] == ALLOWED
        assert told[b"levers"][-1][b"lever"] == b"origin_reads" and told[b"pulled"][0][b"value"] > 0

        traffic.factor = 1.0
        wait_for(lambda: (loads.look(), not levers(node)["pulled"])[1], 150, "it is given back", 1)
        assert node.metric("candor_lever", feature="item") == 0
        log = levers(node)["levers"]
        assert log[0]["action"] == "undo" and len(log) <= 4, log
        assert "inside for" in log[0]["reason"]
        assert traffic.fraction(5) <= ALLOWED
        assert 0 < loads.most_added <= CAP and 0 < loads.most_past <= CAP
        print(f"kept at {kept:.4f} of {ALLOWED}; at most {loads.most_past:.1f} loads/s added, {loads.most_added:.1f} predicted, cap {CAP}")

        # What is written down anew holds without a restart.
        node.write_config(config.replace(f"added_loads_max = {CAP}", "added_loads_max = 7"))
        node.process.send(signal.SIGHUP)
        wait_for(lambda: node.metric("candor_lever_loads_per_second_max") == 7, 10, "the new limit is in force", 0.5)
    finally:
        traffic.stop()
        link.close()
    assert "lever: pull origin_reads of feature item" in node.log()
