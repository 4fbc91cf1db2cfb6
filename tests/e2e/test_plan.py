"""`candor plan`: verdicts, levers, the page to sign, and what it says to bad input."""
import json
import math
import random
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from support import BUILD, free_port

CONFIG = """
[origins.shop]
url = "sqlite:shop.db"
max_concurrency = 4
[features.profile]
origin = "shop"
load  = "select body from profile where id = :key"
store = "insert into profile(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
erase = "delete from profile where id = :key"
ttl   = "60s"
ttl_jitter = 0.0
consistency = "eventual"
[features.profile.budget]
max_staleness  = "5s"
stale_fraction = 0.01
impact = "an old | <b>nickname</b>"
owner  = "growth"
[features.price]
origin = "shop"
load = "select cents from price where id = :key"
ttl  = "4s"
[features.price.budget]
max_staleness = "5s"
owner = "shop"
[features.cache]
origin = "none"
"""
PROFILE = "profile:reads_per_second=1000,updates_per_second=2,keys=100"


@pytest.fixture
def plan(tmp_path):
    """plan(*arguments) -> finished process, with candor.toml written."""
    (tmp_path / "candor.toml").write_text(CONFIG)

    def run(*arguments, config="candor.toml"):
        done = subprocess.run([BUILD / "candor", "plan", config, *arguments], cwd=tmp_path, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60)
        assert done.returncode in (0, 1, 2), done
        return done

    run.folder = tmp_path
    return run


def feature(done, name):
    return next(f for f in json.loads(done.stdout)["features"] if f["feature"] == name)


def test_prediction_is_the_formula(plan):
    profile = feature(plan("--rate", PROFILE, "--json"), "profile")
    u, r, ttl, limit = 0.02, 10, 60, 5
    over = ttl - limit
    assert profile["predicted"]["bound"] == pytest.approx(1.0)
    assert profile["predicted"]["stale"] == pytest.approx(r * (ttl - (1 - math.exp(-u * ttl)) / u) / (1 + r * ttl), rel=1e-6)
    assert profile["predicted"]["stale_hot"] == pytest.approx(1 - (1 - math.exp(-u * ttl)) / (u * ttl), rel=1e-6)
    assert profile["predicted"]["over_limit"] == pytest.approx(r * (over - (1 - math.exp(-u * over)) / u) / (1 + r * ttl), rel=1e-6)
    assert profile["predicted"]["origin_loads_per_second"] == pytest.approx(1000 / 601, rel=1e-6)
    assert profile["margin"] == pytest.approx(0.01 / profile["predicted"]["over_limit"])


def test_a_missed_budget_names_levers_and_exits_1(plan):
    done = plan("--rate", PROFILE, "--json")
    assert done.returncode == 1 and json.loads(done.stdout)["good"] is False
    profile = feature(done, "profile")
    assert profile["verdict"] == "needs_lever"
    assert [s["lever"] for s in profile["cheapest"]] == ["watch"]
    assert profile["planned"]["over_limit"] <= 0.008
    levers = {lever["lever"]: lever for lever in profile["levers"]}
    assert set(levers) == {"ttl", "watch", "refresh_on_change", "synchronous", "batch_writes", "origin_reads", "relax"}
    assert levers["ttl"]["keeps_budget"] and levers["ttl"]["ttl_seconds"] < 60
    assert levers["synchronous"]["possible"] is False and "Candor" in levers["synchronous"]["why_not"]


def test_following_the_advice_keeps_the_budget(plan):
    ttl = feature(plan("--rate", PROFILE, "--json"), "profile")["ttl_seconds_longest"]
    shorter = CONFIG.replace('ttl   = "60s"', f'ttl   = "{int(ttl * 1000)}ms"')
    (plan.folder / "shorter.toml").write_text(shorter)
    done = plan("--rate", PROFILE, config="shorter.toml")
    assert done.returncode == 0, done.stdout
    assert "verdict: kept as configured" in done.stdout


def test_unknown_is_said_and_not_taken_for_kept(plan):
    done = plan()
    assert done.returncode == 1
    line = next(line for line in done.stdout.splitlines() if line.startswith("profile"))
    assert "UNKNOWN" in line and "?" in line
    # What holds for any workload needs none: no entry of `price` lives longer than its limit.
    assert "kept whatever the workload" in done.stdout
    assert plan("--feature", "price").returncode == 0


def test_impossible_is_said_with_the_reason(plan):
    config = CONFIG.replace('consistency = "eventual"', 'consistency = "eventual"\nwatch = { table = "profile", key = "id" }')
    (plan.folder / "watched.toml").write_text(config.replace('max_staleness  = "5s"', 'max_staleness  = "10ms"').replace("0.01\n", "0.00001\n"))
    done = plan("--rate", PROFILE + ",delay=2s,loss=0.1", "--origin-loads-max", "5", "--json", config="watched.toml")
    profile = feature(done, "profile")
    assert done.returncode == 1 and profile["verdict"] == "impossible"
    assert "cap is 5" in profile["reason"]
    assert profile["cheapest"][-1]["lever"] == "relax"


def test_text_fits_a_terminal(plan):
    done = plan("--rate", PROFILE)
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b" not in done.stdout


def test_page_to_sign(plan):
    done = plan("--rate", PROFILE, "--markdown", "page.md")
    assert done.returncode == 1
    page = (plan.folder / "page.md").read_text()
    for text in ("growth", "1 in 100 reads may be staler than 5s", "Agreed by: ____", "What it costs"):
        assert text in page, page
    assert "<b>" not in page and "an old \\| &lt;b&gt;" in page
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| |")]
    cells = {line.replace("\\|", "").count("|") for line in rows}
    assert cells == {3, 7}, "text of owners breaks no table"
    assert plan("--rate", PROFILE, "--markdown", "-").stdout == page


def test_logs_and_traces_agree_with_rates(plan):
    """A made-up hour: the same figures by logs, by a trace, and by hand."""
    draw = random.Random(1)
    reads = [(draw.uniform(0, 3600), draw.randrange(20)) for _ in range(40_000)]
    writes = [(draw.uniform(0, 3600), draw.randrange(20)) for _ in range(4_000)]
    (plan.folder / "reads.csv").write_text("time,feature,key\n" + "".join(f"{t:.3f},profile,{k}\n" for t, k in reads))
    (plan.folder / "writes.log").write_text("# changes\n" + "".join(f"{t:.3f} profile {k}\n" for t, k in writes))
    (plan.folder / "trace.txt").write_text("".join(f"{k}\n" for _, k in reads))
    by_logs = plan("--reads", "reads.csv", "--writes", "writes.log", "--json")
    by_trace = plan("--trace", "trace.txt", "--format", "lirs", "--trace-feature", "profile", "--writes", "writes.log", "--duration",
                    "1h", "--json")
    by_hand = plan("--rate", f"profile:reads_per_second={40000 / 3600},updates_per_second={4000 / 3600},keys=20", "--json")
    values = [feature(done, "profile")["predicted"]["over_limit"] for done in (by_logs, by_trace, by_hand)]
    assert values[0] == pytest.approx(values[2], rel=0.02)
    assert values[1] == pytest.approx(values[2], rel=0.02)


def test_rates_files(plan):
    (plan.folder / "rates.toml").write_text("[features.profile]\nreads_per_second = 1000\nupdates_per_second = 2\nkeys = 100\n")
    (plan.folder / "rates.json").write_text(json.dumps({"features": {"profile": {"reads_per_second": 1000, "updates_per_second": 2,
                                                                                 "keys": 100}}}))
    by_toml = feature(plan("--rates", "rates.toml", "--json"), "profile")
    by_json = feature(plan("--rates", "rates.json", "--json"), "profile")
    assert by_toml["predicted"] == by_json["predicted"]
    assert by_toml["workload"]["source"] == "rates.toml:1"


@pytest.fixture
def endpoint():
    """endpoint(body) -> HOST:PORT that answers every GET with it."""
    servers = []

    def start(body, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", free_port()), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_running_node_says_it(plan, endpoint):
    body = {"features": [{"feature": "profile", "workload": {"reads_per_second": 1000, "updates_per_second": 2,
                                                             "classes": [{"read_share": 1, "reads_per_second": 10, "updates_per_second": 0.02}]},
                          "measured": {"by_origin": {"reads": 900, "stale_fraction": 0.31, "low": 0.28, "high": 0.34}}}]}
    done = plan("--url", endpoint(json.dumps(body)), "--json")
    by_hand = plan("--rate", PROFILE, "--json")
    assert feature(done, "profile")["predicted"] == pytest.approx(feature(by_hand, "profile")["predicted"])
    assert feature(done, "profile")["measured"]["over_limit"] == 0.31
    # Figures by hand win over the node's.
    other = plan("--url", endpoint(json.dumps(body)), "--rate", "profile:reads_per_second=10,updates_per_second=0,keys=1", "--json")
    assert feature(other, "profile")["predicted"]["stale"] == 0


def test_a_real_node_is_understood(plan, node):
    """Its endpoint and this reader agree on the names, whatever it has seen so far."""
    done = subprocess.run([BUILD / "candor", "plan", node.config, "--url", f"127.0.0.1:{node.http_port}", "--json"], cwd=plan.folder,
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    assert done.returncode in (0, 1) and done.stderr == "", done
    assert {f["feature"] for f in json.loads(done.stdout)["features"]} >= {"item"}


def test_a_node_that_does_not_answer_is_a_failure(plan, endpoint):
    done = plan("--url", f"127.0.0.1:{free_port()}")
    assert done.returncode == 1 and "no daemon answers" in done.stderr
    done = plan("--url", endpoint("<html>", 404))
    assert done.returncode == 1 and "404" in done.stderr
    done = plan("--url", endpoint("<html>"))
    assert "not JSON" in done.stderr and done.stdout == ""


BAD = {
    "no file": (["missing.toml"], "missing.toml"),
    "feature that is not there": (["candor.toml", "--feature", "profil"], 'did you mean "profile"'),
    "rate of another feature": (["candor.toml", "--rate", "profil:reads_per_second=1,updates_per_second=1,keys=1"], 'did you mean "profile"'),
    "rate without keys": (["candor.toml", "--rate", "profile:reads_per_second=1,updates_per_second=1"], "keys is missing"),
    "rate without a name": (["candor.toml", "--rate", "1000"], "FEATURE:reads_per_second"),
    "rates file that is not there": (["candor.toml", "--rates", "none.toml"], "none.toml"),
    "rates file that is no TOML": (["candor.toml", "--rates", "junk"], "junk:1"),
    "reads without writes": (["candor.toml", "--reads", "junk"], "--writes"),
    "writes without reads": (["candor.toml", "--writes", "junk"], "--reads"),
    "trace without format": (["candor.toml", "--trace", "junk", "--writes", "junk"], "--format"),
    "trace of which feature": (["candor.toml", "--trace", "junk", "--format", "lirs", "--writes", "junk"], "--trace-feature"),
    "log that is none": (["candor.toml", "--reads", "junk", "--writes", "junk"], "junk:1"),
    "duration without a unit": (["candor.toml", "--reads", "junk", "--writes", "junk", "--duration", "5"], "--duration"),
    "headroom of all": (["candor.toml", "--headroom", "1.5"], "headroom"),
    "page where nothing can be written": (["candor.toml", "--markdown", "no/such/folder/page.md"], "no/such/folder"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_named(plan, kind):
    (plan.folder / "junk").write_text("]]] what\n")
    (config, *arguments), expected = BAD[kind]
    done = plan(*arguments, config=config)
    assert done.returncode in (1, 2) and expected in done.stderr, done
    if kind != "page where nothing can be written":
        assert done.returncode == 2
    assert len(done.stderr) < 1000


def test_configuration_with_errors_is_refused(plan):
    (plan.folder / "bad.toml").write_text(CONFIG.replace("max_staleness", "max_stalenes"))
    done = plan(config="bad.toml")
    assert done.returncode == 2 and "bad.toml:" in done.stderr
