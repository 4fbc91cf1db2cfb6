"""Write-behind as clients, operators and databases see it."""
import json
import signal
import sqlite3
import subprocess
import time

import pytest
import redis

import support
from support import wait_for
from write_behind_crash import CrashRounds, PostgresDatabase, SqliteDatabase

BEHIND = """
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load = "select body from strict_item where id = :key"
store = "insert into strict_item(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase = "delete from strict_item where id = :key"
write = "behind"
write_behind = { window = "%s" }
"""


def rows(shop):
    return dict(shop.execute("select id, body from strict_item").fetchall())


def tool(node, *words):
    return subprocess.run([support.BUILD / "candor", *words], cwd=node.folder, capture_output=True, text=True, timeout=30)


def pending(node):
    return node.metric("candor_write_behind_pending_keys", feature="item")


def test_a_write_is_answered_and_read_before_the_database_has_it(start, shop):
    client = start(BEHIND % "1h").client()
    assert client.set("item:a", "1") is True
    assert client.get("item:a") == b"1"
    assert rows(shop) == {}
    assert client.delete("item:a") == 1
    assert client.get("item:a") is None


def test_writes_reach_the_database_after_the_window_merged_by_key(start, shop):
    node = start(BEHIND % "100ms")
    pipe = node.client().pipeline(transaction=False)
    for i in range(200):
        pipe.set(f"item:{i % 4}", f"v{i}")
    assert all(pipe.execute())
    wait_for(lambda: rows(shop) == {str(i): f"v{196 + i}" for i in range(4)}, 5, "the rows are there")
    assert node.metric("candor_write_behind_writes_total", outcome="acknowledged") == 200
    assert node.metric("candor_write_behind_writes_total", outcome="applied") <= 40


def test_sets_and_gets_in_one_pipeline_keep_their_order(start, shop):
    pipe = start(BEHIND % "20ms").client().pipeline(transaction=False)
    for i in range(100):
        pipe.set("item:x", f"v{i}")
        pipe.get("item:x")
    assert pipe.execute()[1::2] == [f"v{i}".encode() for i in range(100)]


def test_a_read_that_wants_the_origins_word_brings_the_write_there_first(start, shop):
    client = start(BEHIND % "1h").client()
    client.set("item:a", "1")
    answer = client.execute_command("CANDOR.GET", "item:a", "ORIGIN")
    assert b"1" in (answer if isinstance(answer, list) else answer.values())
    assert rows(shop) == {"a": "1"}


def test_shutdown_brings_what_is_pending_to_the_database(start, shop):
    node = start(BEHIND % "1h")
    node.client().set("item:a", "1")
    assert node.stop(signal.SIGTERM) == 0
    assert rows(shop) == {"a": "1"}


def test_what_shutdown_cannot_bring_stays_and_is_brought_at_the_next_start(start, shop):
    node = start(BEHIND % "10ms", node_extra='drain_timeout = "1s"')
    shop.execute("begin immediate")
    node.client().set("item:a", "1")
    node.stop(signal.SIGTERM)
    assert "the next start brings it there" in node.log()
    shop.execute("rollback")
    node.start()
    assert rows(shop) == {"a": "1"}


def test_a_start_without_the_database_serves_what_is_pending(start, shop, tmp_path):
    node = start(BEHIND % "1h")
    node.client().set("item:a", "1")
    node.process.kill()
    (tmp_path / "shop.db").rename(tmp_path / "away.db")
    node.start()
    assert node.client().get("item:a") == b"1"
    assert "write_behind_stuck:item" in node.http("/readyz")[2].decode()
    (tmp_path / "away.db").rename(tmp_path / "shop.db")
    wait_for(lambda: pending(node) == 0, 20, "the write is brought")


def test_a_refused_write_is_a_dead_letter_that_can_be_listed_replayed_and_dropped(start, shop):
    node = start(BEHIND % "20ms")
    client = node.client()
    client.set("item:long", "more than ten characters")
    client.set("item:longer", "even more than ten characters")
    client.set("item:good", "1")
    wait_for(lambda: rows(shop) == {"good": "1"}, 5, "the good one is there")
    wait_for(lambda: node.metric("candor_write_behind_dead_letters") == 2, 5, "two letters")
    assert client.get("item:long") is None
    listed = tool(node, "writes", "list", "candord0.toml", "--json")
    assert listed.returncode == 1
    letters = {one["key"]: one for one in json.loads(listed.stdout)["dead_letters"]}
    assert "CHECK constraint" in letters["long"]["reason"]
    assert tool(node, "writes", "drop", "candord0.toml").returncode == 1  # says what to name
    shop.executescript("drop table strict_item; create table strict_item(id text primary key, body text)")
    replayed = tool(node, "writes", "replay", "candord0.toml", "--feature", "item", "--position", str(letters["long"]["position"]))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    wait_for(lambda: rows(shop).get("long") == "more than ten characters", 5, "the replayed one is there")
    assert tool(node, "writes", "drop", "candord0.toml", "--all").returncode == 0
    assert tool(node, "writes", "list", "candord0.toml").returncode == 0


def test_beyond_a_limit_writes_answer_overloaded_and_others_go_on(start, shop):
    node = start("[write_behind]\nkeys_max = 3\n" + BEHIND % "1h")
    client = node.client()
    for i in range(3):
        client.set(f"item:{i}", "1")
    with pytest.raises(redis.exceptions.ResponseError, match="OVERLOADED.*keys_max"):
        client.set("item:3", "1")
    assert client.set("item:0", "2") is True
    assert client.get("item:3") is None


def test_a_reload_switches_to_through_and_back(start, shop):
    node = start(BEHIND % "1h")
    client = node.client()
    client.set("item:a", "1")
    node.write_config((BEHIND % "1h").replace('"behind"', '"through"'))
    node.process.send(signal.SIGHUP)
    wait_for(lambda: rows(shop) == {"a": "1"}, 5, "what was pending is there")
    client.set("item:a", "2")
    assert rows(shop) == {"a": "2"}
    node.write_config(BEHIND % "1h")
    node.process.send(signal.SIGHUP)
    wait_for(lambda: node.metric("candor_write_behind_active") == 1, 5, "behind again")
    client.set("item:a", "3")
    assert rows(shop) == {"a": "2"} and client.get("item:a") == b"3"


def test_a_log_of_a_feature_that_is_gone_is_loud(start, shop):
    node = start(BEHIND % "1h")
    node.client().set("item:a", "1")
    node.process.kill()
    node.write_config((BEHIND % "1h").replace("features.item", "features.other"))
    node.start()
    assert "1 acknowledged write of feature 'item', which is no longer configured" in node.log()
    assert "write_behind_orphaned:item" in node.http("/readyz")[2].decode()


def test_a_second_daemon_on_the_same_data_directory_is_refused(start, shop, tmp_path):
    node = start(BEHIND % "1h")
    other = support.Candord(tmp_path, BEHIND % "1h", name="other", ready=False)
    other.config.write_text(other.config.read_text().replace('"other-data"', '"candord0-data"'))
    other.process = support.Process([support.BUILD / "candord", "--config", other.config], tmp_path, "other")
    assert other.process.wait() == 1
    assert "another process has it open" in other.log()
    assert node.client().ping()


def test_another_nodes_session_sees_the_write_that_its_token_stands_for(start, shop, tmp_path):
    watched = BEHIND % "1h" + 'watch = { table = "strict_item", key = "id" }\n'
    one = start(watched, ready=False)
    assert tool(one, "feed", "install", "candord0.toml").returncode == 0
    one.start()
    other = start(watched.replace('"behind"', '"through"'))
    client = one.client()
    client.set("item:a", "1")
    token = client.execute_command("CANDOR.TOKEN")
    assert rows(shop) == {"a": "1"}
    reader = other.client(single_connection_client=True)
    reader.execute_command("CANDOR.SESSION", token)
    assert reader.get("item:a") == b"1"


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_loses_nothing_acknowledged_and_applies_nothing_twice(tmp_path, seed):
    database = SqliteDatabase(tmp_path)
    rounds = CrashRounds(tmp_path, database, seed)
    try:
        for _ in range(15):
            rounds.round()
        rounds.finish()
    finally:
        rounds.daemon.stop(signal.SIGKILL)
        database.close()


def test_kill_9_with_postgresql(tmp_path, postgres_server):
    database = PostgresDatabase(postgres_server)
    rounds = CrashRounds(tmp_path, database, 3)
    try:
        for _ in range(10):
            rounds.round()
        rounds.finish()
    finally:
        rounds.daemon.stop(signal.SIGKILL)
        database.close()
