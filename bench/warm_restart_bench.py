#!/usr/bin/env python3
"""A restart under load, cold and warm: how long until the hit rate is back, and what the database sees meanwhile.

PostgreSQL whose loads take 2 ms, as over a network; readers that come at a set rate whatever the answers do (Zipf over 50,000 keys), in front of
/readyz as a load balancer would be. Cold: no hot set. Warm: the last run's hot set, /readyz waits for 90 % of its hit rate."""
import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import support  # noqa: E402

KEYS, SKEW, READS_PER_SECOND, PIPELINE = 50_000, 0.9, 2000, 20

CONFIG = """
[warm]
hot_set_period = "2s"
ready_within = "60s"
ready_hit_rate = {hit_rate}
[l2]
url = "none"
[origins.shop]
url = "{url}"
max_concurrency = 32
[features.item]
origin = "shop"
load = "select body from item, pg_sleep(0.002) where id = :key"
ttl = "1h"
{load_many}
"""
LOAD_MANY = 'load_many = "select id, body from item, pg_sleep(0.002) where id = any(:keys)"'


class Readers:
    """Reads at a set rate, from the moment on at which the node says that it is ready."""

    def __init__(self, node):
        self.node, self.over, self.answers = node, threading.Event(), []  # (when, seconds that a pipeline took)
        draw = random.Random(7)
        weights, total = [], 0.0
        for rank in range(1, KEYS + 1):
            total += rank ** -SKEW
            weights.append(total)
        self.keys = [f"item:{key}" for key in draw.choices(range(KEYS), cum_weights=weights, k=200_000)]
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        client = self.node.client()
        at, due = 0, time.monotonic()
        while not self.over.is_set():
            pipeline = client.pipeline(transaction=False)
            for key in self.keys[at:at + PIPELINE]:
                pipeline.get(key)
            at = (at + PIPELINE) % (len(self.keys) - PIPELINE)
            began = time.monotonic()
            pipeline.execute()
            self.answers.append((began, time.monotonic() - max(due, 0)))
            due += PIPELINE / READS_PER_SECOND
            self.over.wait(max(0.0, due - time.monotonic()))

    def stop(self):
        self.over.set()
        self.thread.join()


def counters(node):
    return (node.metric("candor_reads_total", tier="l1"), node.metric("candor_reads_total"),
            node.metric("candor_origin_loads_total"), time.monotonic())


def watch(node, seconds, until=None):
    """[(when, hit rate, loads a second)] each quarter of a second, until that hit rate in two of them in a row."""
    seen, before, good = [], counters(node), 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.25)
        now = counters(node)
        reads, span = now[1] - before[1], now[3] - before[3]
        rate = (now[0] - before[0]) / reads if reads > 0 else 0.0
        seen.append((now[3], rate, (now[2] - before[2]) / span))
        good = good + 1 if until is not None and rate >= until else 0
        if good == 2:
            break
        before = now
    return seen


def restart(node, config, until):
    """Seconds from the start of the process to that hit rate; the most loads a second; seconds to ready; the most statements of warming at a time."""
    node.write_config(config)
    began = time.monotonic()
    watched = []
    poller = threading.Thread(target=lambda: watched.extend(peak_of_start(node)))
    poller.start()
    node.start()
    ready = time.monotonic() - began
    readers = Readers(node)
    seen = watch(node, 300, until)
    readers.stop()
    poller.join()
    statements = json.loads(node.http("/api/v1/warm")[2])["origins"][0]["statements_most"]
    return seen[-1][0] - began, max([rate for _, _, rate in seen] + watched), ready, statements


def peak_of_start(node):
    """Loads a second in each half second until the node is ready."""
    rates, before = [], None
    while True:
        time.sleep(0.25)
        try:
            status = node.http("/readyz")[0]
            now = (node.metric("candor_origin_loads_total"), time.monotonic())
        except OSError:
            continue
        if before is not None and now[1] > before[1]:
            rates.append((now[0] - before[0]) / (now[1] - before[1]))
        before = now
        if status == 200:
            return rates


def round_of(folder, server, load_many):
    def config(hit_rate):
        return CONFIG.format(url=server.url, hit_rate=hit_rate, load_many=load_many)

    node = support.Candord(folder, config(0), l1="256MiB")
    readers = Readers(node)
    steady = statistics.mean(rate for _, rate, _ in watch(node, 45)[-10:])
    readers.stop()
    node.stop()
    stored = Path(folder) / "candord-data" / "hot-set"
    shutil.copy(stored, Path(folder) / "kept")
    stored.unlink()
    cold = restart(node, config(0), 0.9 * steady)
    node.stop()
    shutil.copy(Path(folder) / "kept", stored)
    warm = restart(node, config(0.9), 0.9 * steady)
    node.stop()
    return steady, cold, warm


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--load-many", action="store_true", help="keys that are missed together are loaded by one statement")
    arguments = parser.parse_args()
    support.BUILD = (ROOT / arguments.build).resolve()
    server = support.Postgres()
    try:
        server.sql("create table item(id text primary key, body text)")
        server.sql(f"insert into item select i::text, repeat('x', 200) from generate_series(0, {KEYS - 1}) i")
        print(f"{READS_PER_SECOND} reads a second, Zipf {SKEW} over {KEYS} keys, loads of 2 ms, max_concurrency 32, origin_share 0.5"
              + (", load_many" if arguments.load_many else ""))
        print(f"{'hit rate':>9} {'cold: back after':>17} {'peak loads/s':>13} {'warm: back after':>17} {'ready after':>12} {'peak loads/s':>13} {'statements':>11} {'ratio':>6}")
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                steady, cold, warm = round_of(folder, server, LOAD_MANY if arguments.load_many else "")
            print(f"{steady:9.3f} {cold[0]:15.1f} s {cold[1]:13.0f} {warm[0]:15.1f} s {warm[2]:10.1f} s {warm[1]:13.0f} {warm[3]:11d} {warm[0] / cold[0]:6.2f}", flush=True)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
