"""Memory as a whole daemon sees it: what L1 says it holds and what the process grows by, its line, its curves."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from support import BUILD, SHOP, wait_for

PLAIN = '[l2]\nurl = "none"\n[features.c]\norigin = "none"\n'
MIB = 1 << 20


def resident(node):
    with open(f"/proc/{node.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def fill(node, megabytes, sizes, seed=1):
    """Stores values of mixed sizes until so many megabytes have been sent."""
    rng, sent, number, client = random.Random(seed), 0, 0, node.client()
    blob = os.urandom(256 << 10)
    while sent < megabytes * MIB:
        pipe = client.pipeline(transaction=False)
        for _ in range(200):
            size = rng.choice(sizes)
            pipe.set(f"c:{number}", blob[:size])
            number, sent = number + 1, sent + size
        pipe.execute()
    return number


# [l1] memory, values' sizes, and the part of the limit by which L1's own figure may miss the process's growth. The limit itself holds to 1 %.
GROWTH = [("64MiB", [10, 64, 200, 900, 4000, 30_000], 0.02), ("160MiB", [10, 64, 200, 900, 4000, 30_000], 0.02),
          ("160MiB", [64], 0.02), ("160MiB", [100_000, 200_000], 0.02)]


@pytest.mark.parametrize("memory,sizes,within", GROWTH)
def test_the_process_grows_by_what_l1_says_it_holds(start, memory, sizes, within):
    node = start(PLAIN, l1=memory, resp_extra="threads = 1")
    limit = int(memory[:-3]) * MIB
    # What a connection and its pipelines take is there before.
    client = node.client()
    for _ in range(20):
        client.set("c:first", os.urandom(200_000))
    client.execute_command("FLUSHALL")
    before, held_before = resident(node), node.metric("candor_memory_bytes", tier="l1")
    fill(node, limit // MIB * 1.3, sizes)
    wait_for(lambda: node.metric("candor_evictions_total", tier="l1") > 0, 10, "it is full")
    held = node.metric("candor_memory_bytes", tier="l1")
    grown = resident(node) - before
    print(f"\n[l1] memory {memory}, values of {sizes}: L1 says {held - held_before:.0f}, the process grew by {grown}, "
          f"ratio {grown / (held - held_before):.4f}, {grown / limit:.4f} of the limit")
    assert held <= limit
    assert grown <= limit * 1.01
    assert abs(grown - (held - held_before)) <= within * limit


def test_l1_gives_back_before_the_process_reaches_its_line(start):
    node = start(PLAIN + '[capacity]\nprocess_memory = "200MiB"\n', l1="180MiB", resp_extra="threads = 1")
    assert "more than 80 % of what this process may have" in node.log()
    fill(node, 260, [200, 900, 4000])
    status = wait_for(lambda: (s := capacity(node))["memory"]["l1_allowed_bytes"] < 180 * MIB and s, 15, "L1 is pressed")
    assert status["memory"]["source"] == "[capacity] process_memory"
    wait_for(lambda: resident(node) < 0.82 * 200 * MIB, 20, "the process is back at its line")
    assert "memory" in json.loads(node.http("/api/v1/status")[2])["degraded"]
    assert node.metric("candor_memory_limit_bytes", tier="l1") < 180 * MIB
    assert node.client().set("c:still", "stored")
    node.client().execute_command("FLUSHALL")
    before = node.metric("candor_memory_limit_bytes", tier="l1")
    wait_for(lambda: node.metric("candor_memory_limit_bytes", tier="l1") > before, 30, "it grows back")
    done = subprocess.run([BUILD / "candor", "capacity", "--at", f"127.0.0.1:{node.http_port}"], capture_output=True, text=True)
    assert done.returncode == 1 and "PRESSED" in done.stdout


def capacity(node):
    status, _, body = node.http("/api/v1/capacity")
    assert status == 200
    return json.loads(body)


def read(client, keys):
    pipe = client.pipeline(transaction=False)
    for key in keys:
        pipe.get(f"item:{key}")
    pipe.execute()


def test_hits_are_predicted_for_other_sizes(start, shop):
    shop.execute("begin")
    shop.executemany("insert or replace into item values (?, ?)", ((f"k{i}", "v" * 3000) for i in range(6_000)))
    shop.execute("commit")
    # With the default share an L1 this small follows 300 keys, and what they say is off by 0.06 by chance alone.
    node = start(SHOP + "[capacity]\nshare = 0.2\n", l1="8MiB", resp_extra="threads = 1")
    client, rng = node.client(socket_timeout=60), random.Random(1)
    # 6,000 rows of 3 kB: twice what L1 holds, all of it in four times as much. No faster than every key can be followed.
    for _ in range(60):
        read(client, [f"k{rng.randrange(6_000)}" for _ in range(400)])
        time.sleep(0.15)
    got = wait_for(lambda: (c := capacity(node))["curves"]["features"] and c["curves"]["all"]["reads_per_second"] and c, 30,
                   "reads were counted")
    item = next(f for f in got["curves"]["features"] if f["feature"] == "item")
    at = {size["memory"]: size["hit_ratio"] for size in item["at"]}
    print("\n", {k: round(v, 3) for k, v in at.items()}, "counted", round(item["hit_ratio"], 3), "cold", round(item["cold_fraction"], 3), "keys", item["keys_followed"])
    assert abs(at[1.0] - item["hit_ratio"]) < 0.05
    assert at[0.5] < at[1.0] < at[2.0] <= at[4.0] + 0.01
    assert got["curves"]["model_bytes"] <= got["curves"]["model_bytes_max"]
    done = subprocess.run([BUILD / "candor", "capacity", "--at", f"127.0.0.1:{node.http_port}"], capture_output=True, text=True)
    assert done.returncode == 0 and "deserves" in done.stdout and "no trend" in done.stdout
    done = subprocess.run([BUILD / "candor", "capacity", "--json", "--at", f"127.0.0.1:{node.http_port}"], capture_output=True, text=True)
    assert json.loads(done.stdout)["curves"]["all"]["at"][1]["memory"] == 1.0


def test_a_node_without_curves_says_so(start):
    node = start(PLAIN + "[capacity]\nshare = 0\n")
    assert capacity(node)["curves"] is None
    done = subprocess.run([BUILD / "candor", "capacity", "--at", f"127.0.0.1:{node.http_port}"], capture_output=True, text=True)
    assert done.returncode == 0 and "no curves" in done.stdout


def test_sighup_looks_for_the_limit_again(start):
    node = start(PLAIN)
    node.process.send(signal.SIGHUP)
    wait_for(lambda: "reload:" in node.log(), 5, "it was read again")
    assert capacity(node)["memory"]["limit_bytes"] > 0
