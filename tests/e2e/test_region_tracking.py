"""CLIENT TRACKING in the daemon: clients that keep values hear of changes made by anyone, also straight at the database."""
import sqlite3
import subprocess
import threading
import time

import pytest
import redis

import river
from river import Tracker
from support import wait_for


@pytest.fixture
def node(start, shop, tmp_path):
    river.install_feed(tmp_path, river.body())
    return start(river.body(), resp_extra='plain_feature = "cache"')


def write_elsewhere(folder, key, value):
    """By another process, straight at the database."""
    subprocess.run(["sqlite3", "-cmd", ".timeout 5000", folder / "shop.db", f"update item set body = '{value}' where id = '{key}'"],
                   check=True, stdin=subprocess.DEVNULL)


def test_change_by_another_process_reaches_the_clients_cache(node, tmp_path):
    client = Tracker(node.port)
    assert client.command("GET", "item:1") == b"item 1"
    assert client.command("GET", "item:2") == b"item 2"
    write_elsewhere(tmp_path, "1", "new")
    client.wait_invalidated("item:1")
    assert client.command("GET", "item:1") == b"new"
    client.settle()
    assert client.invalidated() == []  # a key that was not read again is not told again
    write_elsewhere(tmp_path, "1", "newer")
    client.wait_invalidated("item:1")
    write_elsewhere(tmp_path, "3", "nobody read it")
    client.settle()
    assert client.invalidated() == []


def test_broadcast_with_prefixes_and_plain_values(node, tmp_path):
    client = Tracker(node.port, "BCAST", "PREFIX", "item:1", "PREFIX", "k")
    with node.client() as other:
        other.set("item:15", "x")
        other.set("item:2", "x")
        other.set("k1", "x")
        other.set("other", "x")
    write_elsewhere(tmp_path, "16", "y")
    client.wait_invalidated("item:16")
    other = Tracker(node.port, "BCAST")
    write_elsewhere(tmp_path, "2", "z")
    other.wait_invalidated("item:2")
    client.settle()
    assert "item:2" not in client.invalidated()


def test_own_writes_are_not_told_with_noloop(node, tmp_path):
    client = Tracker(node.port, "NOLOOP")
    assert client.command("GET", "item:5") == b"item 5"
    assert client.command("SET", "item:5", "mine") == "OK"
    assert client.command("GET", "item:5") == b"mine"
    client.settle()
    own = client.invalidated()  # the feed's echo of the own write, if it came during or after the GET; nothing else
    assert set(own) <= {"item:5"}
    write_elsewhere(tmp_path, "5", "theirs")
    def is_theirs():
        if own:  # told already: what is read now is tracked anew
            value = client.command("GET", "item:5")
            if value == b"theirs":
                return True  # applied before the read: nothing is owed
            assert value == b"mine"
        client.wait_invalidated("item:5")
        return client.command("GET", "item:5") == b"theirs"
    wait_for(is_theirs, 5, "their write is told")


def test_opt_in_and_opt_out(node, tmp_path):
    opt_in, opt_out = Tracker(node.port, "OPTIN"), Tracker(node.port, "OPTOUT")
    assert opt_in.command("GET", "item:1") == b"item 1"
    assert opt_in.command("CLIENT", "CACHING", "YES") == "OK"
    assert opt_in.command("GET", "item:2") == b"item 2"
    assert opt_out.command("CLIENT", "CACHING", "NO") == "OK"
    assert opt_out.command("GET", "item:1") == b"item 1"
    assert opt_out.command("GET", "item:2") == b"item 2"
    write_elsewhere(tmp_path, "1", "a")
    write_elsewhere(tmp_path, "2", "b")
    for client in (opt_in, opt_out):
        client.wait_invalidated("item:2")
        client.settle()
        assert "item:1" not in client.invalidated()


def test_resp2_client_redirects_to_a_subscriber(node, tmp_path):
    listener = node.raw()
    listener.command("SUBSCRIBE", "__redis__:invalidate")
    with node.client() as control:
        target = next(c["id"] for c in control.client_list() if c["cmd"] == "subscribe")
    reader = node.raw()
    assert reader.command("CLIENT", "TRACKING", "ON", "REDIRECT", target) == "OK"
    assert reader.command("GET", "item:7") == b"item 7"
    write_elsewhere(tmp_path, "7", "new")
    assert listener.reply() == [b"message", b"__redis__:invalidate", [b"item:7"]]
    assert reader.command("GET", "item:7") == b"new"


def test_whole_feature_changes_and_flushes_say_drop_everything(node, shop, tmp_path):
    reader, admin = Tracker(node.port), node.raw()
    assert reader.command("GET", "item:1") == b"item 1"
    assert admin.command("FLUSHALL") == "OK"
    reader.wait_invalidated(None)
    assert reader.command("GET", "item:1") == b"item 1"
    assert admin.command("CANDOR.INVALIDATE", "FEATURE", "item") == 1
    reader.wait_invalidated(None)
    # Triggers that are made anew: whatever was written while they were away, nobody knows.
    assert reader.command("GET", "item:1") == b"item 1"
    shop.execute("drop table item")
    shop.execute("create table item(id text primary key, body)")
    shop.execute("insert into item values ('1', 'reborn')")
    river.install_feed(tmp_path, river.body())
    reader.wait_invalidated(None, 10)
    wait_for(lambda: reader.command("GET", "item:1") == b"reborn", 10, "the new table is read")


def test_commands_that_drop_keys_are_told(node):
    client = Tracker(node.port)
    assert client.command("MGET", "item:1", "item:2", "loose:1") == [b"item 1", b"item 2", b"item 1"]
    assert node.raw().command("CANDOR.INVALIDATE", "item:2", "loose:1") == 2
    client.wait_invalidated("loose:1")


def test_redis_py_hears_through_a_subscription(node, tmp_path):
    """redis-py 4 speaks RESP2: a connection that reads, and one that listens for it."""
    with redis.Redis("127.0.0.1", node.port, socket_timeout=10) as client, client.pubsub() as listener:
        listener.subscribe("__redis__:invalidate")
        assert listener.get_message(timeout=5)["type"] == "subscribe"
        target = next(c["id"] for c in client.client_list() if c["cmd"] == "subscribe")
        connection = client.connection_pool.get_connection("_")
        def ask(*words):
            connection.send_command(*words)
            return connection.read_response()
        assert ask("CLIENT", "TRACKING", "ON", "REDIRECT", target) == b"OK"
        assert ask("GET", "item:9") == b"item 9"
        write_elsewhere(tmp_path, "9", "new")
        told = wait_for(lambda: listener.get_message(timeout=1), 5, "the subscription hears of it")
        assert told["type"] == "message" and told["data"] == [b"item:9"]
        assert ask("GET", "item:9") == b"new"


def test_redis_cli_shows_what_is_pushed(node, tmp_path):
    child = subprocess.Popen(["redis-cli", "-3", "-p", str(node.port), "--no-auth-warning", "--show-pushes", "yes"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    child.stdin.write("CLIENT TRACKING ON\nGET item:4\n")
    child.stdin.flush()
    wait_for(lambda: node.metric("candor_commands_total") and "item 4" in child.stdout.readline() + child.stdout.readline(), 10, "redis-cli reads")
    write_elsewhere(tmp_path, "4", "new")
    time.sleep(0.3)
    out, _ = child.communicate("PING\nPING\n", timeout=10)
    assert "invalidate" in out and "item:4" in out, out


def test_client_that_trusts_its_own_cache_is_never_older_than_the_river(node, shop, tmp_path):
    """The client keeps what it read until it is told. Each value is a time; no look may show one that was replaced more than the lag ago."""
    shop.execute("insert into item values ('clock', '0')")
    lag_s = 2.0  # the river takes milliseconds; the machine is shared
    stop = threading.Event()
    history = []  # (version, committed by)

    def write():
        database = sqlite3.connect(tmp_path / "shop.db", isolation_level=None, timeout=10)
        version = 0
        while not stop.is_set():
            version += 1
            database.execute("update item set body = ? where id = 'clock'", (str(version),))
            history.append((version, time.monotonic()))
            time.sleep(0.02)
        database.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        client = Tracker(node.port)
        kept, looks, reads, worst = None, 0, 0, 0.0
        end = time.monotonic() + 4
        while time.monotonic() < end:
            client.settle()  # what was told before now has arrived
            if any(name in (None, "item:clock") for name in client.invalidated()):
                kept = None
            looked = time.monotonic()
            if kept is None:
                kept = int(client.command("GET", "item:clock"))
                reads += 1
                # A push that came with the answer concerns what was just read.
                if client.invalidated():
                    kept, looked = None, 0
                    continue
            looks += 1
            replaced = next((at for version, at in list(history) if version == kept + 1), None)
            if replaced is not None:
                worst = max(worst, looked - replaced)
                assert looked - replaced < lag_s, f"version {kept} was replaced {looked - replaced:.3f} s before it was looked at"
    finally:
        stop.set()
        writer.join()
    assert reads > 20 and looks > reads, (reads, looks)
    final = str(history[-1][0])
    wait_for(lambda: Tracker(node.port).command("GET", "item:clock") == final.encode(), 5, "the last version is read")
    print(f"{looks} looks, {reads} reads, {len(history)} versions, oldest look {worst * 1000:.1f} ms")
