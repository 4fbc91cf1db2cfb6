"""Warming with real daemons and databases: what is loaded before it is read, what /readyz waits for, what a restart remembers."""
import json
import signal
import subprocess
import threading
import time

import river
from support import BUILD, Candord, wait_for

FEATURES = """
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load  = "select body from item where id = :key"
ttl   = "10m"
{warm}
[features.other]
origin = "shop"
load  = "select body from item where id = :key"
ttl   = "10m"
"""


def shop_config(warm="", head=""):
    return head + FEATURES.format(warm=warm)


def progress(node):
    return json.loads(node.http("/api/v1/warm")[2])


def post(node, path, body):
    headers = {"Authorization": f"Bearer {node.token()}"}
    status, _, text = node.http(path, "POST", headers, json.dumps(body).encode())
    return status, text


def loads(node, feature="item"):
    return node.metric("candor_origin_loads_total", feature=feature)


def warmed(node, timeout=20):
    wait_for(lambda: not progress(node)["running"], timeout, "warming has ended")
    return progress(node)


def test_keys_and_query_are_in_l1_before_the_first_reader(start, shop):
    node = start(shop_config('warm = { keys = ["7", "none"], query = "select id from item order by id limit 50", priority = "critical" }'))
    done = progress(node)
    assert done["by_priority"]["critical"]["waiting"] == 0, "ready waits for critical keys"
    assert done["keys"]["absent"] == 1 and done["keys"]["loaded"] == done["keys"]["total"] - 1 >= 50
    before = loads(node)
    assert node.client().get("item:7") == b"item 7" and node.client().get("item:none") is None
    assert loads(node) == before
    assert node.metric("candor_warm_keys", feature="item", state="loaded") == done["keys"]["loaded"]


def test_a_query_that_fails_is_told_and_holds_up_nobody(start, shop):
    node = start(shop_config('warm = { keys = ["1"], query = "select id from nowhere", priority = "critical" }'))
    done = warmed(node)
    assert done["keys"]["loaded"] == 1
    problems = [source["problem"] for source in done["sources"] if source["source"] == "query of item"]
    assert "the origin refused it" in problems[0], "whose words may quote values"
    status, _, told = node.http("/api/v1/warm-progress", method="POST", headers={"Authorization": f"Bearer {node.token()}"}, data=b"{}")
    assert status == 200 and b"no such table: nowhere" in told
    assert "the query of feature item failed" in node.log()


def test_readyz_waits_for_critical_keys_and_not_for_ever(tmp_path, shop):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0"
    head = '[warm]\nready_within = "3s"\nquery_timeout = "60s"\n'
    node = Candord(tmp_path, shop_config(f'warm = {{ query = "{endless}", priority = "critical" }}', head), ready=False)
    said = []
    looker = threading.Thread(target=lambda: (wait_for(lambda: said_not_ready(node), 10, "it says what it waits for"), said.append(True)))
    looker.start()
    began = time.monotonic()
    try:
        node.start()
        assert time.monotonic() - began >= 2.5
        looker.join()
        assert said, "while it was not ready"
        assert "ready without having warmed" in node.log()
    finally:
        assert node.stop() == 0, node.log()


def said_not_ready(node):
    try:
        status, _, body = node.http("/readyz")
    except OSError:
        return False
    return status == 503 and b"warming: 0 of 0 critical keys" in body


def test_a_restart_remembers_what_was_hot(start, shop):
    node = start(shop_config())
    client = node.client()
    for _ in range(30):
        client.mget([f"item:{i}" for i in range(20)])
    client.get("other:5")
    node.stop()
    stored = node.folder / "candord0-data" / "hot-set"
    assert stored.stat().st_mode & 0o777 == 0o600
    node.start()
    done = warmed(node)
    assert done["keys"]["loaded"] == 21 and done["predicted_hit_rate"] > 0.99, done
    before = loads(node) + loads(node, "other")
    client = node.client()
    assert client.mget([f"item:{i}" for i in range(20)]) == [f"item {i}".encode() for i in range(20)]
    assert client.get("other:5") == b"item 5"
    assert loads(node) + loads(node, "other") == before
    # What was changed while it was down is read as it is now: values are not kept, keys are.
    node.stop()
    shop.execute("update item set body = 'new' where id = '3'")
    node.start()
    warmed(node)
    assert node.client().get("item:3") == b"new"


def test_a_damaged_hot_set_is_left_aside_with_a_word(start, shop):
    node = start(shop_config())
    node.client().get("item:1")
    node.stop()
    stored = node.folder / "candord0-data" / "hot-set"
    data = bytearray(stored.read_bytes())
    data[len(data) // 2] ^= 1
    stored.write_bytes(data)
    node.start()
    assert warmed(node)["keys"]["total"] == 0
    assert "damaged: its checksum does not match; it is left aside" in node.log()
    assert node.client().get("item:1") == b"item 1"


def test_a_kill_loses_at_most_what_was_hot_since_the_last_save(start, shop):
    node = start(shop_config(head='[warm]\nhot_set_period = "1s"\n'))
    client = node.client()
    stored = node.folder / "candord0-data" / "hot-set"
    wait_for(lambda: (client.get("item:9"), stored.exists())[1], 10, "the hot set is written while the node runs")
    node.process.kill()
    node.start()
    assert warmed(node)["keys"]["loaded"] == 1


def test_a_peers_hot_set_is_loaded_from_ones_own_origin(tmp_path, start, shop):
    peer = start(shop_config(head='[warm]\nhot_set_period = "1s"\n'))
    client = peer.client()
    stored = peer.folder / "candord0-data" / "hot-set"
    wait_for(lambda: (client.mget([f"item:{i}" for i in range(30)]), stored.exists())[1], 10, "the peer has a hot set")
    (tmp_path / "token").write_text(peer.token() + "\n")
    head = f'[warm]\npeers = ["127.0.0.1:{peer.http_port}", "127.0.0.1:1"]\npeer_token_file = "token"\n'
    node = start(shop_config(head=head))
    done = warmed(node)
    assert done["keys"]["loaded"] == 30
    assert [source["problem"] for source in done["sources"] if source["source"] == "hot set of 127.0.0.1:1"] == ["it does not answer"]
    assert peer.http("/api/v1/hot-set", "POST", {}, b"{}")[0] == 401, "keys are shown to whoever has the token"


def test_asked_for_by_command_api_and_tool(tmp_path, start, shop):
    node = start(shop_config('warm = { query = "select id from item order by id limit 10" }', '[warm]\nhot_set = false\n'))
    warmed(node)
    client = node.client()
    client.execute_command("FLUSHALL")
    client.execute_command("CANDOR.WARM", "item")
    wait_for(lambda: not progress(node)["running"] and progress(node)["keys"]["loaded"] == 10, 10, "the command has warmed it again")
    answer = node.raw()
    assert answer.command("HELLO", "3")
    assert answer.command("CANDOR.WARM", "item")[b"keys"][b"total"] >= 0

    status, text = post(node, "/api/v1/warm", {"feature": "item", "keys": ["90", "91", "x\u00e9"]})
    assert status == 200, text
    done = warmed(node)
    assert (done["keys"]["loaded"], done["keys"]["absent"]) == (2, 1)
    for bad in ({"keys": ["1"]}, {"feature": "item", "keys": [1]}, {"feature": "item", "more": 1}):
        assert post(node, "/api/v1/warm", bad)[0] == 400, bad
    assert post(node, "/api/v1/warm", {"feature": "nobody"})[0] == 404

    (tmp_path / "keys.txt").write_text("80\n81\n80\n\n82\n")
    tool = subprocess.run([BUILD / "candor", "warm", node.config, "--feature", "item", "--keys", tmp_path / "keys.txt"],
                          cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert tool.returncode == 0 and tool.stdout.startswith("3 keys in"), tool
    before = loads(node)
    assert client.mget("item:80", "item:81", "item:82", "item:90") == [b"item 80", b"item 81", b"item 82", b"item 90"]
    assert loads(node) == before


def test_keys_of_a_trace(tmp_path, start, shop):
    node = start(shop_config(head='[warm]\nhot_set = false\n'))
    (tmp_path / "t.trace").write_text("5\n6\n5\n7\n")
    tool = subprocess.run([BUILD / "candor", "warm", node.config, "--feature", "item", "--trace", tmp_path / "t.trace",
                           "--format", "lirs", "--most", "2", "--json"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert tool.returncode == 0 and json.loads(tool.stdout)["keys"]["loaded"] == 2, tool
    (tmp_path / "t.trace").write_text("alice\n")
    tool = subprocess.run([BUILD / "candor", "warm", node.config, "--feature", "item", "--trace", tmp_path / "t.trace",
                           "--format", "lirs"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert tool.returncode == 1 and "its keys are texts; give them one a line with --keys" in tool.stderr


def test_postgresql_is_warmed_by_query_and_waited_for_when_it_is_away(start, postgres):
    config = f"""
[warm]
ready_within = "1s"
[origins.shop]
url = "{postgres.url}"
max_concurrency = 4
[features.item]
origin = "shop"
load = "select body from item where id = :key"
load_many = "select id, body from item where id = any(:keys)"
ttl = "10m"
warm = {{ query = "select id from item order by id::int desc limit 60;", priority = "critical" }}
"""
    node = start(config)
    done = warmed(node)
    assert done["keys"]["loaded"] == 60, done
    assert done["origins"][0]["statements_most"] <= done["origins"][0]["statements_max"] == 2
    client = node.client()
    before = loads(node)
    assert client.get("item:99") == b"item 99" and loads(node) == before
    assert client.get("item:0") == b"item 0" and loads(node) == before + 1, "it was not among the first sixty"
    node.stop()
    postgres.kill()
    node.start()
    assert progress(node)["running"], "the hot set waits for the database"
    node.stop()
    (node.folder / "candord0-data" / "hot-set").unlink()
    node.write_config(config.replace('"1s"', '"60s"'))
    node.process = None
    river.launch(node)
    wait_for(lambda: "0 of 0 critical keys are done" in river.readiness(node)[1], 10, "the query waits, and /readyz for its keys")
    time.sleep(1.5)
    assert river.readiness(node)[0] == 503
    postgres.start()
    wait_for(lambda: river.readiness(node)[0] == 200, 20, "it was asked again")
    assert progress(node)["by_priority"]["critical"]["loaded"] == 60


def test_the_end_does_not_wait_for_warming(start, shop):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i from n where i < 0"
    node = start(shop_config(f'warm = {{ query = "{endless}" }}'))
    began = time.monotonic()
    assert node.process.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 6
