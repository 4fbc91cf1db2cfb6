"""Looking into a running node: explain, hot keys, traces, ttls, `candor top`; with keys that want to be more than keys."""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest

from support import BUILD, SHOP, RespError, wait_for

WATCHED = """
[origins.shop]
url = "sqlite:shop.db"
[features.item]
origin = "shop"
load  = "select body from item where id = :key"
store = "insert into item(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
watch = { table = "item", key = "id" }
"""
HOSTILE = [b"\x1b[2J\x07", b'"quotes\\" and \\', b"\x00\xff\xfe binary", b"with / slash", b"a\r\nb: c", "\u202etxt.ü".encode()]


def tool(node, *arguments, http=False, timeout=60):
    address = ["--config", str(node.config)] if http else ["--at", f"127.0.0.1:{node.port}"]
    done = subprocess.run([BUILD / "candor", *arguments, *address], capture_output=True, timeout=timeout, cwd=node.folder)
    return done.returncode, done.stdout, done.stderr.decode()


def api(node, path):
    status, _, body = node.http(path, headers={"Authorization": f"Bearer {node.token()}"})
    return status, json.loads(body)


def quoted(key):
    return "".join(f"%{byte:02X}" for byte in key)


@pytest.fixture
def watched(start, shop):
    node = start(WATCHED, ready=False)
    subprocess.run([BUILD / "candor", "feed", "install", node.config], check=True, cwd=node.folder, stdout=subprocess.DEVNULL)
    node.start()
    return node


def explained(node, key):
    raw = node.raw()
    raw.command("HELLO", "3")
    answer = raw.command("CANDOR.EXPLAIN", key)
    raw.close()
    return answer


# ---- explain ----

def test_explain_tells_a_keys_life(watched, shop):
    client = watched.client()
    before = explained(watched, "item:1")
    assert before[b"tiers"][b"l1"][b"held"] is False and before[b"next_read"] == b"origin"
    assert client.get("item:1") == b"item 1"
    held = wait_for(lambda: (e := explained(watched, "item:1"))[b"next_read"] == b"l1" and e, what="L1 has it")
    assert held[b"tiers"][b"l1"][b"value_bytes"] == 6 and held[b"tiers"][b"l1"][b"served"] is True

    def loaded_into_l2():  # which is not believed before the river has caught up
        client.execute_command("CANDOR.INVALIDATE", "item:1")
        client.get("item:1")
        return explained(watched, "item:1")[b"tiers"][b"l2"][b"held"]

    wait_for(loaded_into_l2, what="L2 has it", every=0.2)
    assert held[b"proof"][b"watched"] is True and held[b"proof"][b"applied_position"] is not None

    shop.execute("update item set body = 'new' where id = '1'")
    wait_for(lambda: client.get("item:1") == b"new", what="the change has come")
    status, told = api(watched, "/api/v1/keys/item/1")
    assert status == 200 and told["node"] == "candord0" and told["feature"] == "item" and told["key"] == "1"
    events = [e["event"] for e in told["history"]]
    assert events.count("change") == 1 and events.count("load") >= 2 and "miss" in events
    change = next(e for e in told["history"] if e["event"] == "change")
    stages = change["after_commit_ms"]
    assert change["position"] and change["committed_at_ms"] and stages["applied"] is not None
    # This node leads the feed: it saw every stage, in order.
    order = [stages[s] for s in ("heard", "on_stream", "applied")]
    assert None not in order and order == sorted(order), stages
    miss = next(e for e in told["history"] if e["event"] == "miss")
    took = miss["took_ms"]
    assert took["all"] == pytest.approx(took["line"] + took["l2"] + took["origin"], abs=0.01) and took["origin"] > 0
    load = next(e for e in told["history"] if e["event"] == "load")
    assert load["outcome"] == "stored" and load["saw_up_to"] >= change["change"]


def test_explain_says_why_an_entry_is_not_served(start, shop):
    node = start(SHOP.replace('ttl   = "60s"', 'ttl = "200ms"\non_origin_failure = { serve_stale = "10m" }', 1))
    client = node.client()
    client.get("item:1")
    time.sleep(0.4)
    l1 = explained(node, "item:1")[b"tiers"][b"l1"]
    assert l1[b"held"] is True and l1[b"served"] is False and b"past its ttl" in l1[b"why"] and l1[b"ttl_ms"] < 0
    client.get("item:nobody")
    assert explained(node, "item:nobody")[b"tiers"][b"l1"][b"negative"] is True
    client.execute_command("CANDOR.INVALIDATE", "item:nobody")
    causes = [e.get(b"cause") for e in explained(node, "item:nobody")[b"history"] if e[b"event"] == b"invalidation"]
    assert b"command" in causes
    # Asking is no read.
    reads = node.metric("candor_reads_total")
    explained(node, "item:1")
    assert node.metric("candor_reads_total") == reads


def test_explain_answers_errors_as_errors(node):
    raw = node.raw()
    assert isinstance(raw.command("CANDOR.EXPLAIN", "nobody:1"), RespError)
    assert isinstance(raw.command("CANDOR.EXPLAIN"), RespError)
    assert raw.command("PING") == "PONG"
    assert api(node, "/api/v1/keys/nobody/1")[0] == 404
    assert api(node, "/api/v1/keys/item/%zz")[0] == 400
    for path in ("/api/v1/keys/item/1", "/api/v1/hotkeys", "/api/v1/trace"):
        assert node.http(path)[0] == 401, path
        assert node.http(path, headers={"Authorization": "Bearer wrong"})[0] == 401, path
        assert node.http(path, headers={"Authorization": f"Bearer {node.token()}", "Host": "evil.example"})[0] == 403, path
    assert node.http("/api/v1/keys/item/1", "POST", {"Authorization": f"Bearer {node.token()}"}, b"")[0] == 200
    code, _, err = tool(node, "explain", "nobody:1")
    assert code == 1 and "NOFEATURE" in err


@pytest.mark.parametrize("key", HOSTILE)
def test_keys_of_any_bytes_can_be_explained_and_drive_nothing(watched, key):
    raw = watched.raw()
    raw.command("GET", b"item:" + key)
    status, told = api(watched, "/api/v1/keys/item/" + quoted(key))
    assert status == 200 and told["history"], told
    named = bytes.fromhex(told["key_hex"]) if "key_hex" in told else told["key"].encode()
    assert named == key
    assert explained(watched, b"item:" + key)[b"key"] == key
    code, out, err = tool(watched, "explain", "item:" + key.hex(), "--hex")
    assert code == 0, err
    assert b"\x1b" not in out and b"\x07" not in out and b"\x00" not in out and "\u202e".encode() not in out
    code, out, _ = tool(watched, "explain", "item:" + key.hex(), "--hex", "--json")
    assert code == 0 and json.loads(out)["feature"] == "item"
    raw.close()


# ---- hot keys ----

def hot(node, **query):
    return api(node, "/api/v1/hotkeys?" + "&".join(f"{k}={v}" for k, v in query.items()))[1]


def test_hot_keys_come_in_their_order_with_bounds(watched, shop):
    client = watched.client()
    for _ in range(30):
        client.mget(["item:1"] * 8 + ["item:2"] * 2 + ["item:3"])
    for _ in range(3):
        client.get("item:none")
    shop.execute("update item set body = 'x' where id = '5'")
    top = wait_for(lambda: (h := hot(watched, n=3)["keys"]) and len(h) == 3 and h[0]["reads"]["low"] > 0 and h, what="hot keys")
    assert [k["key"] for k in top[:2]] == ["1", "2"]
    for one in top:
        assert one["reads"]["low"] <= one["reads"]["per_second"] <= one["reads"]["high"]
    # Every read of so little traffic is looked at: the method is exact, and 8 to 2 is what there was.
    assert top[0]["reads"]["per_second"] / top[1]["reads"]["per_second"] == pytest.approx(4, rel=0.3)
    assert top[0]["bytes"]["per_second"] > top[0]["reads"]["per_second"]
    changed = wait_for(lambda: hot(watched, by="changes", feature="item")["keys"], what="a change")
    assert [k["key"] for k in changed] == ["5"]
    assert {k["key"] for k in hot(watched, by="misses")["keys"]} >= {"1", "2", "3", "none"}

    answer = client.execute_command("CANDOR.HOTKEYS", "item", 1)
    answer = dict(zip(answer[::2], answer[1::2]))
    assert len(answer[b"keys"]) == 1 and answer[b"by"] == b"reads"
    assert client.execute_command("CANDOR.HOTKEYS", "BY", "misses")
    for wrong in (["nobody"], ["item", "0"], ["item", "BY", "heat"], ["item", "5", "5"], ["item", "5", "BY"]):
        with pytest.raises(Exception):
            client.execute_command("CANDOR.HOTKEYS", *wrong)
    assert api(watched, "/api/v1/hotkeys?by=heat")[0] == 400 and api(watched, "/api/v1/hotkeys?n=0")[0] == 400
    code, out, err = tool(watched, "hotkeys", "item", "-n", "2")
    assert code == 0 and b"item:1" in out and b"item:3" not in out, err


def test_hot_keys_of_any_bytes_are_escaped(node):
    raw = node.raw()
    for key in HOSTILE:
        for _ in range(5):
            raw.command("GET", b"item:" + key)
    wait_for(lambda: len(hot(node)["keys"]) == len(HOSTILE), what="all are listed")
    listed = {bytes.fromhex(k["key_hex"]) if "key_hex" in k else k["key"].encode() for k in hot(node)["keys"]}
    assert listed == set(HOSTILE)
    for arguments in ([], ["--json"]):
        code, out, err = tool(node, "hotkeys", *arguments)
        assert code == 0 and not set(out) & (set(range(32)) - {10}), (out, err)
    raw.close()


def test_hot_keys_can_be_off(start, shop):
    node = start('[hotkeys]\nenabled = false\n[explain]\nmemory = "0B"\n' + SHOP)
    node.client().get("item:1")
    time.sleep(0.3)
    assert hot(node)["enabled"] is False and hot(node)["keys"] == []
    assert b"not look for hot keys" in tool(node, "hotkeys")[1]
    told = api(node, "/api/v1/keys/item/1")[1]
    assert told["history"] == [] and told["history_reaches_ms"] is None and told["tiers"]["l1"]["held"]


# ---- traces ----

def hears_ctrl_c():
    """A shell's background jobs, and what they start, ignore it: a signal that comes before the tool listens would be lost."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Trace:
    """`candor trace --json`, its lines as they come."""

    def __init__(self, node, *arguments):
        self.child = subprocess.Popen([BUILD / "candor", "trace", "--json", "--config", node.config, *arguments], cwd=node.folder,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=hears_ctrl_c)
        self.events = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.child.stdout:
            self.events.append(json.loads(line))

    def end(self):
        self.child.send_signal(signal.SIGINT)
        return self.child.wait(12)  # the daemon's next word comes within a second, its silence is borne for ten


def test_a_trace_shows_what_happens_and_ends_with_ctrl_c(watched, shop):
    client = watched.client()
    trace = Trace(watched)
    wait_for(lambda: (client.get("item:7"), trace.events)[1], what="the trace has begun")
    client.execute_command("CANDOR.INVALIDATE", "item:7")
    client.get("item:7")
    for _ in range(20):
        client.get("item:7")
    shop.execute("update item set body = 'x' where id = '7'")
    kinds = {"miss", "fill", "hit", "invalidation", "change"}
    wait_for(lambda: {e["event"] for e in trace.events} >= kinds, what="every kind of event")
    hit = next(e for e in trace.events if e["event"] == "hit")
    assert (hit["feature"], hit["key"], hit["tier"], hit["outcome"]) == ("item", "7", "l1", "value")
    miss = next(e for e in trace.events if e["event"] == "miss")
    assert miss["took_ms"]["all"] >= 0
    assert trace.end() == 0
    # Nobody watches any more: the place is free again.
    for _ in range(6):
        again = Trace(watched, "--kind", "fill")
        assert again.end() in (0, -signal.SIGINT), "before it listens for the signal, the signal ends it"


def test_a_trace_filters(watched):
    client = watched.client()
    by_key = Trace(watched, "--key", "1?", "--kind", "read")
    by_tier = Trace(watched, "--tier", "origin")
    stale = Trace(watched, "--staler", "1h", "--kind", "hit")
    wait_for(lambda: (client.get("item:10"), client.execute_command("CANDOR.INVALIDATE", "item:10"), by_key.events and by_tier.events)[2], what="traces have begun")
    for i in range(30):
        client.get(f"item:{i}")
        client.get(f"item:{i}")
    wait_for(lambda: {e["key"] for e in by_key.events} == {str(i) for i in range(10, 20)}, what="keys of two digits that begin with 1")
    assert {e["event"] for e in by_key.events} <= {"hit", "miss"}
    assert {e.get("tier") for e in by_tier.events} == {"origin"}
    assert stale.events == []
    for trace in (by_key, by_tier, stale):
        assert trace.end() == 0
    code, _, err = tool(watched, "trace", "--tier", "l9", http=True)
    assert code == 1 and "tier must be" in err
    code, _, err = tool(watched, "trace", "--slower", "soon", http=True)
    assert code == 2 and "--slower" in err


def test_a_trace_says_what_it_left_out_and_how_many_may_watch(watched):
    client = watched.client()
    trace = Trace(watched, "--rate", "5", "--kind", "miss")
    wait_for(lambda: (client.get("item:1"), client.execute_command("CANDOR.INVALIDATE", "item:1"), trace.events)[2], what="the trace has begun")
    client.mget([f"item:{i}" for i in range(90)])
    wait_for(lambda: any(e["event"] == "left_out" for e in trace.events), what="it says so")
    assert sum(e["event"] == "miss" for e in trace.events) < 50
    for _ in range(5):  # a HEAD watches nothing and takes nobody's place
        assert watched.http("/api/v1/trace", "HEAD", {"Authorization": f"Bearer {watched.token()}"})[0] == 200
    others = [Trace(watched) for _ in range(3)]
    time.sleep(0.5)
    code, _, err = tool(watched, "trace", "--limit", "1", http=True)
    assert code == 1 and "4 traces" in err
    for one in [trace, *others]:
        assert one.end() == 0


def test_a_trace_survives_a_broken_pipe_and_its_daemon(start, shop):
    node = start()
    client = node.client()
    stop = threading.Event()

    def read():
        while not stop.is_set():
            client.get("item:1")
            time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for command in (f"'{BUILD}/candor' trace --config '{node.config}' | head -2", f"'{BUILD}/candor' trace --config '{node.config}' --limit 3"):
            done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], cwd=node.folder, capture_output=True, timeout=30)
            assert done.returncode == 0, done.stderr
            assert b"item:1" in done.stdout
    finally:
        stop.set()
        reader.join()
    trace = Trace(node)
    time.sleep(0.5)
    node.stop()
    assert trace.child.wait(20) in (0, 1)


# ---- ttls ----

def test_the_ttl_picture_shows_expiries_ahead(start, shop):
    node = start(SHOP.replace('ttl   = "60s"', 'ttl = "30s"\nttl_jitter = 0.0', 1))
    node.client().mget([f"item:{i}" for i in range(50)])
    node.client().mget([f"item:{i}" for i in range(10)])
    picture = json.loads(node.http("/api/v1/ttl?feature=item")[2])["features"][0]
    assert picture["entries"] == 50 and picture["ttl_ms"] == 30_000
    ahead = {a["within_ms"]: a for a in picture["ahead"]}
    assert ahead[10_000]["expiries"] == 0 and ahead[60_000]["expiries"] == 50
    assert 1 <= ahead[60_000]["of_keys_that_are_read"] <= 50
    assert picture["stampede"]["peak_in_ms"] >= 20_000 and picture["stampede"]["risk"] in ("low", "watch", "high")
    assert sum(b["entries"] for b in picture["histogram"]) == 50
    code, out, err = tool(node, "ttl", "item", http=True)
    assert b"item: 50 entries" in out and code in (0, 1), err
    assert node.http("/api/v1/ttl?feature=nobody")[0] == 404


# ---- slow log ----

def test_the_slow_log_says_where_the_time_went(start, shop):
    node = start()
    client = node.client()
    blocker = __import__("sqlite3").connect(node.folder / "shop.db", isolation_level=None, timeout=10)
    raw = node.raw()
    blocker.execute("pragma locking_mode = exclusive")
    blocker.execute("begin exclusive")
    raw.send(raw.encode("SET", "item:1", "x"))
    time.sleep(0.1)
    blocker.execute("commit")
    blocker.close()
    raw.reply()
    raw.close()
    assert client.execute_command("SLOWLOG", "LEN") >= 0


# ---- top ----

def test_top_is_plain_when_piped(watched):
    client = watched.client()
    client.mget([f"item:{i}" for i in range(20)])
    code, out, err = tool(watched, "top", "--every", "300ms", http=True)
    text = out.decode()
    assert code == 0, err
    assert "\x1b" not in text and "candord0 (local)" in text and "item" in text and "hot key" in text
    code, out, _ = tool(watched, "top", "--json", http=True)
    assert code == 0 and json.loads(out)["hot_keys"]["enabled"] is True
    done = subprocess.run([BUILD / "candor", "top", "--once", "--at", f"127.0.0.1:{watched.http_port}"], capture_output=True, timeout=30)
    assert done.returncode == 0 and b"need the admin token" in done.stdout
    done = subprocess.run([BUILD / "candor", "top", "--at", "127.0.0.1:1"], capture_output=True, timeout=30)
    assert done.returncode == 1 and b"no daemon answers" in done.stderr


class Terminal:
    """`candor top` under a terminal of its own."""

    def __init__(self, node, rows=24, columns=80):
        self.master, slave = pty.openpty()
        self.resize(rows, columns)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.child = subprocess.Popen([BUILD / "candor", "top", "--every", "300ms", "--config", node.config], cwd=node.folder,
                                      stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                      preexec_fn=lambda: (hears_ctrl_c(), fcntl.ioctl(0, termios.TIOCSCTTY, 0)))
        self.seen = b""

    def resize(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.2):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if select.select([self.master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.master, 65536)
                except OSError:
                    break
        return self.seen

    def end(self, how):
        how()
        wait_for(lambda: (self.read(0.05), self.child.poll() is not None)[1], 10, "top ends")
        self.read(0.1)
        return self.child.returncode


@pytest.mark.parametrize("way", ["q", "ctrl-c", "term"])
def test_top_draws_follows_a_resize_and_gives_the_terminal_back(watched, way):
    raw = watched.raw()
    raw.command("GET", b"item:\x1b[2Jhostile")
    screen = Terminal(watched)
    # The first frames may come before the read is counted.
    wait_for(lambda: b"\\x1b[2Jhostile" in screen.read(), what="the hot key is drawn, its control bytes as text")
    assert screen.seen.startswith(b"\x1b[?1049h")
    screen.seen = b""
    screen.resize(10, 40)
    wait_for(lambda: b"more than fits" in screen.read(), what="the smaller screen")
    frame = screen.seen.split(b"\x1b[H")[-1].split(b"\x1b[J")[0]
    assert all(len(line.replace(b"\x1b[K", b"").replace(b"\r", b"").decode(errors="replace")) <= 40 for line in frame.split(b"\r\n"))
    ends = {"q": lambda: os.write(screen.master, b"q"), "ctrl-c": lambda: os.write(screen.master, b"\x03"),
            "term": lambda: screen.child.send_signal(signal.SIGTERM)}
    assert screen.end(ends[way]) == 0
    assert screen.seen.endswith(b"\x1b[?25h\x1b[?1049l")
    assert termios.tcgetattr(screen.slave) == screen.before
    raw.close()
