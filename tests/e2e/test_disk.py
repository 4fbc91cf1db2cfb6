"""The disk tier of real daemons: what L1 evicts comes back from flash, and nothing that a change made old does."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

import river
from support import BUILD, wait_for

DISK = '[disk]\npath = "disk"\nsize = "{size}"\nmemory = "4MiB"\nwrite_rate = "0B"\n'
ROWS = 12_000
VALUE = random.Random(7).randbytes(64_000).hex()  # each row has a piece of its own: nothing to compress


def body(size="64MiB"):
    return river.body() + '[l2]\nurl = "none"\n' + DISK.format(size=size)


def text(i):
    return f"{i} {VALUE[7 * i:7 * i + 2000]}"


@pytest.fixture
def rows(shop):
    shop.execute("begin")
    shop.execute("delete from item")
    shop.executemany("insert into item(id, body) values (?, ?)", [(str(i), text(i)) for i in range(ROWS)])
    shop.execute("commit")
    return shop


def start_disk(start, tmp_path, size="64MiB", **options):
    river.install_feed(tmp_path, body(size))
    return start(body(size), l1="8MiB", **options)


def read(node, feature, keys):
    pipe = node.client().pipeline(transaction=False)
    out = []
    for i, key in enumerate(keys):
        pipe.get(f"{feature}:{key}")
        if i % 500 == 499:
            out += pipe.execute()
    return out + pipe.execute()


def demote(node, feature, keys=range(ROWS)):
    """Again and again through three times what L1 holds: the second eviction of a key writes it."""
    for _ in range(4):
        read(node, feature, keys)
    wait_for(lambda: node.metric("candor_disk_demotions_total", outcome="written") > 1000, 10, "entries were demoted")


def on_disk(node, feature, keys):
    """Keys whose next read the disk answers; reading one promotes it."""
    client = node.client()
    found = []
    for key in keys:
        answer = client.execute_command("CANDOR.GET", f"{feature}:{key}")
        fields = dict(zip(answer[::2], answer[1::2])) if isinstance(answer, list) else answer
        if fields[b"tier"] == b"disk":
            found.append(key)
            assert fields[b"value"] == text(key).encode()
    return found


def loads(node):
    return node.metric("candor_origin_loads_total")


def disk_tier(node):
    return next(t for t in json.loads(node.http("/api/v1/status")[2])["tiers"] if t["tier"] == "disk")


@pytest.mark.parametrize("feature", ["item", "loose"])
def test_what_was_evicted_comes_back_from_the_disk(start, rows, tmp_path, feature):
    node = start_disk(start, tmp_path)
    demote(node, feature)
    before = loads(node)
    asked = range(0, ROWS, 40)  # which of them L1 still holds is its policy's business
    found = on_disk(node, feature, asked)
    assert len(found) > 30
    assert loads(node) - before <= len(asked) - len(found)
    assert node.metric("candor_reads_total", feature=feature, tier="disk") >= len(found)
    tier = disk_tier(node)
    assert tier["on"] and tier["lookups"]["hit"] >= len(found) and 0 < tier["memory_bytes"] < 32 << 20
    shown = subprocess.run([BUILD / "candor", "status", "--at", f"127.0.0.1:{node.http_port}"], capture_output=True, text=True, timeout=20,
                           check=False).stdout
    assert "disk " in shown


def test_writes_foreign_changes_and_commands_reach_what_is_on_the_disk(start, rows, tmp_path):
    node = start_disk(start, tmp_path)
    demote(node, "item")
    client = node.client()
    for i in range(0, 300):
        client.set(f"item:{i}", f"written {i}")
    rows.executemany("update item set body = ? where id = ?", [(f"foreign {i}", str(i)) for i in range(300, 600)])
    wait_for(lambda: client.get("item:599") == b"foreign 599", 10, "the last change was heard of")
    time.sleep(0.3)
    assert read(node, "item", range(300)) == [f"written {i}".encode() for i in range(300)]
    assert read(node, "item", range(300, 600)) == [f"foreign {i}".encode() for i in range(300, 600)]
    # Once more through L1: what is on the disk now is the new.
    demote(node, "item")
    assert read(node, "item", range(300)) == [f"written {i}".encode() for i in range(300)]
    demote(node, "loose")
    rows.execute("update item set body = 'new' where cast(id as integer) between 600 and 700")
    client.execute_command("CANDOR.INVALIDATE", "loose:650")
    assert client.get("loose:650") == b"new"
    client.flushall()
    assert read(node, "loose", range(600, 700)) == [b"new"] * 100


def test_a_good_end_keeps_it_and_what_changed_meanwhile_is_not_served_old(start, rows, tmp_path):
    node = start_disk(start, tmp_path)
    demote(node, "item")
    demote(node, "loose")
    assert node.stop() == 0
    rows.executemany("update item set body = ? where id = ?", [(f"while down {i}", str(i)) for i in range(0, 200)])
    node.start()
    wait_for(lambda: node.http("/readyz")[0] == 200, 10, "ready")
    time.sleep(1)  # a floor settles, and warming has ended
    # A watched entry of before is as good as a load, wherever it comes from (docs/disk-tier.md, Restarts).
    client, asked = node.client(), range(4000, ROWS, 80)
    status, _, told = node.http("/api/v1/keys/item/4000", headers={"Authorization": f"Bearer {node.token()}"})
    told = json.loads(told)
    assert status == 200 and told["next_read"] == ("disk" if told["tiers"]["disk"]["held"] else "origin")
    assert [client.get(f"item:{i}") for i in asked] == [text(i).encode() for i in asked]
    confirmed = node.metric("candor_reads_total", feature="item", tier="disk")
    print("watched entries of before, asked one by one:", len(asked), "of these answered by the disk:", confirmed)
    assert confirmed > len(asked) / 3, "their rows did not change, and the log of changes says so"
    assert read(node, "item", range(200)) == [f"while down {i}".encode() for i in range(200)]
    assert len(on_disk(node, "loose", range(4000, ROWS, 40))) > 20, "by its ttl"


def test_after_a_crash_nothing_of_before_is_served(start, rows, tmp_path):
    node = start_disk(start, tmp_path)
    demote(node, "loose")
    node.process.kill()
    rows.execute("update item set body = 'new'")
    node.start()
    assert read(node, "loose", range(300)) == [b"new"] * 300
    assert disk_tier(node)["lookups"]["hit"] == 0
    assert disk_tier(node)["on"]


def files(folder, ending):
    return sorted(p for p in folder.iterdir() if p.name.endswith(ending))


def test_flipped_bits_are_found_and_nothing_wrong_is_served(start, rows, tmp_path):
    node = start_disk(start, tmp_path)
    demote(node, "loose")
    assert node.stop() == 0
    for path in files(tmp_path / "disk", ".sst"):
        data = bytearray(path.read_bytes())
        for at in range(1000, len(data) - 60_000, 20_000):
            data[at] ^= 0x40
        path.write_bytes(data)
    node.start()
    assert read(node, "loose", range(6000)) == [text(i).encode() for i in range(6000)]
    assert node.metric("candor_disk_lookups_total", outcome="corrupt") > 0
    assert node.metric("candor_disk_lookups_total", outcome="hit") > 0, "the rest goes on"


def test_a_store_that_cannot_be_opened_is_set_aside(start, rows, tmp_path):
    node = start_disk(start, tmp_path)
    demote(node, "loose")
    assert node.stop() == 0
    for path in files(tmp_path / "disk", ".sst"):
        os.truncate(path, 50)
    for path in (tmp_path / "disk").glob("MANIFEST*"):
        os.truncate(path, 30)
    node.start()
    assert "set aside" in node.log()
    assert (tmp_path / "disk.damaged").exists()
    assert read(node, "loose", range(300)) == [text(i).encode() for i in range(300)]


def size_of(path):
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the store drops files meanwhile
        return 0


def test_the_size_is_held(start, rows, tmp_path):
    node = start_disk(start, tmp_path, size="16MiB")
    most = 0
    for _ in range(4):
        read(node, "loose", range(ROWS))
        most = max(most, sum(size_of(p) for p in (tmp_path / "disk").iterdir()))
    assert 4 << 20 < most <= 16 << 20
    assert node.metric("candor_disk_bytes") <= node.metric("candor_disk_limit_bytes") == 16 << 20


def test_a_full_disk_takes_the_tier_off_and_reads_go_on(start, rows, tmp_path):
    """A limit on the size of files, as a full disk is."""
    node = start_disk(start, tmp_path, ignore_file_limit_signal=True, ready=False)
    node.start()
    subprocess.run(["prlimit", f"--pid={node.process.pid}", "--fsize=100000"], check=True)
    for _ in range(3):
        assert read(node, "loose", range(6000)) == [text(i).encode() for i in range(6000)]
    wait_for(lambda: "disk_off" in json.loads(node.http("/api/v1/status")[2])["degraded"], 10, "the tier is off")
    assert "the disk tier is off" in node.log()
    assert read(node, "loose", range(6000)) == [text(i).encode() for i in range(6000)]
    node.process.send(signal.SIGTERM)
    assert node.process.wait() == 0
