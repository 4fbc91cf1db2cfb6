"""`candor budget`, and what the API says of budgets: a feature that keeps its own, one that cannot, and one that nobody reads."""
import json
import subprocess
import threading
import time
import urllib.request

import pytest

from support import BUILD, wait_for

LOAD = 'load = "select body from item where id = :key"'
BUDGETS = f"""
[origins.shop]
url = "sqlite:shop.db"
[features.kept]
origin = "shop"
{LOAD}
watch = {{ table = "item", key = "id" }}
[features.kept.budget]
max_staleness = "5s"
stale_fraction = 0.5
sample = 1.0
[features.old]
origin = "shop"
{LOAD}
[features.old.budget]
max_staleness = "100ms"
stale_fraction = 0.001
sample = 1.0
impact = "an old body"
owner = "shop"
[features.unread]
origin = "shop"
{LOAD}
[features.unread.budget]
max_staleness = "100ms"
stale_fraction = 0.001
"""


def budget(node, *arguments):
    done = subprocess.run([BUILD / "candor", "budget", "--at", f"127.0.0.1:{node.http_port}", *arguments], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def verdicts(node):
    return {f["feature"]: f["verdict"] for f in json.loads(node.http("/api/v1/budgets")[2])["features"]}


@pytest.fixture
def judged(start, shop):
    """A node whose readers have been judged: what they read of `old` was changed after it was cached."""
    node = start(BUDGETS, ready=False)
    subprocess.run([BUILD / "candor", "feed", "install", node.config], check=True, cwd=node.folder, stdout=subprocess.DEVNULL)
    node.start()
    client = node.client()
    client.mget([f"{feature}:{i}" for feature in ("kept", "old") for i in range(50)])
    shop.execute("update item set body = body || ' changed'")
    stop = threading.Event()

    def read():
        while not stop.is_set():
            client.mget([f"{feature}:{i}" for feature in ("kept", "old") for i in range(50)])
            time.sleep(0.02)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        wait_for(lambda: verdicts(node) == {"kept": "inside", "old": "outside", "unread": "not measured"}, 40, "both are judged", 0.5)
        yield node
    finally:
        stop.set()
        reader.join()


def test_a_missed_budget_is_told_and_fails_the_pipeline(judged):
    code, out, err = budget(judged)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100, out
    rows = {line.split()[0]: line for line in lines[1:] if not line.startswith(" ")}
    assert rows["old"].split()[1:3] == ["100ms", "0.1%"] and "outside" in rows["old"]
    assert "not measured" in rows["old"]  # by the stream, which nobody listens to for this feature
    assert rows["kept"].rstrip().endswith("inside")
    assert rows["unread"].rstrip().endswith("not measured")

    code, out, _ = budget(judged, "--json")
    answer = json.loads(out)
    assert code == 1 and {"feature": "old", "finding": "outside"} in answer["findings"]
    assert {f["feature"] for f in answer["findings"]} == {"old"}
    measured = {f["feature"]: f["measured"]["by_origin_window"] for f in answer["features"]}
    assert measured["old"]["low"] > 0.001 and measured["old"]["by_cause"]["ttl-only"] > 0.001
    assert measured["unread"] is None


def test_one_feature_can_be_asked_for_and_strict_wants_a_measurement(judged):
    assert budget(judged, "--feature", "kept")[0] == 0
    assert budget(judged, "--feature", "unread")[0] == 0
    assert budget(judged, "--feature", "unread", "--strict")[0] == 1
    code, _, err = budget(judged, "--feature", "nobody")
    assert code == 1 and "no feature 'nobody' with a budget" in err
    began = time.monotonic()
    assert budget(judged, "--feature", "kept", "--wait", "1s")[0] == 0
    assert time.monotonic() - began >= 1
    code, _, err = budget(judged, "--wait", "soon")
    assert code == 2 and "--wait" in err


def test_a_budget_has_its_own_page_and_a_history(judged):
    one = json.loads(judged.http("/api/v1/budgets/old")[2])
    assert one["verdict"] == "outside" and one["owner"] == "shop"
    # How often keys change is known after ten answers of the origin, which is asked once a second.
    end = time.monotonic() + 40
    while not one["workload"]["classes"] and time.monotonic() < end:
        time.sleep(1)
        one = json.loads(judged.http("/api/v1/budgets/old")[2])
    assert sum(c["read_share"] for c in one["workload"]["classes"]) == pytest.approx(1, abs=0.01)
    points = json.loads(judged.http("/api/v1/budget-history/old")[2])["points"]
    assert [p["at_ms"] for p in points] == sorted({p["at_ms"] for p in points})
    assert points[-1]["by_stream"] is None and max(p["by_origin"] or 0 for p in points) > 0.001
    assert judged.http("/api/v1/budgets/nobody")[0] == 404


def test_events_bring_budgets_when_they_were_evaluated(judged):
    began = json.loads(judged.http("/api/v1/budgets")[2])["at_ms"]
    with urllib.request.urlopen(f"http://127.0.0.1:{judged.http_port}/api/v1/events", timeout=15) as events:
        ticks, seen = 0, set()
        for line in events:
            if not line.startswith(b"data: "):
                continue
            data = json.loads(line[6:])
            ticks += 1
            if data.get("budgets"):
                seen.add(data["budgets"]["at_ms"])
                assert "classes" not in data["budgets"]["features"][0]["workload"]
            if ticks > 12:
                break
    assert 2 <= len(seen) <= 5 and min(seen) >= began


def test_where_nothing_has_a_budget_it_says_so(start, shop):
    node = start()
    code, out, _ = budget(node)
    assert code == 0 and "no feature of this node has a budget" in out
    assert budget(node, "--strict")[0] == 1


def test_no_daemon_no_budget():
    done = subprocess.run([BUILD / "candor", "budget", "--at", "127.0.0.1:1"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "no daemon answers" in done.stderr
