"""`candor rules` and `candor grafana`: what Prometheus makes of the rules, and that both name metrics that there are."""
import itertools
import json
import re
import sqlite3
import subprocess
import threading
import time

import pytest

from prometheus_files import Prometheus, Scenario, promtool, run_scenarios, steady
from support import BUILD, wait_for

LOAD = 'origin = "shop"\nload = "select body from item where id = :key"\n'
WATCH = 'watch = { table = "item", key = "id" }\n'
BUDGETS = f"""
[node]
region = "eu"
[origins.shop]
url = "sqlite:shop.db"
[features.profile]
{LOAD}{WATCH}
[features.profile.budget]
max_staleness = "5s"
owner = "growth"
impact = "an old nickname on a page"
[features.never]
{LOAD}{WATCH}
[features.never.budget]
max_staleness = "5s"
stale_fraction = 0
"""
ALLOWED = 0.001  # of BUDGETS
PAGE, TICKET = ("CandorStalenessBudget", "page"), ("CandorStalenessBudget", "ticket")
HOUR = 60  # minutes
HOSTILE_REGION = 'eu"} or vector(1) #\\ \u2028{{ $labels.x }}'
HOSTILE = '{{ template "x" }}{{{\n- alert: "x"\t\u2028 {{ end }} <b>`$value` \x07 \ufffd \U0001f600 ${feature} \\'


def tool(folder, command, config, *arguments):
    file = folder / "candor.toml"
    file.write_text(config)
    done = subprocess.run([BUILD / "candor", command, file, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def rules_file(folder, config, *arguments):
    code, out, err = tool(folder, "rules", config, *arguments)
    assert (code, err) == (0, "")
    file = folder / "candor.rules.yml"
    file.write_text(out)
    return file


def passes(folder, config, *scenarios):
    code, said = run_scenarios(folder, rules_file(folder, config), scenarios)
    assert code == 0, said


def toml(text):
    return json.dumps(text, ensure_ascii=False)


# ---- what Prometheus reads ----

@pytest.mark.parametrize("more", ["", "window = \"7d\"\n", "window = \"1h\"\n", "window = \"1m\"\nstale_fraction = 0.2\n", "stale_fraction = 1.0\n"])
@pytest.mark.parametrize("form", [[], ["--json"], ["--scrape-interval", "1s"]])
def test_prometheus_takes_the_rules(tmp_path, more, form):
    file = rules_file(tmp_path, BUDGETS.replace('owner = "growth"', more), *form)
    code, said = promtool(tmp_path, "check", "rules", "--lint-fatal", file)
    assert code == 0 and "SUCCESS" in said, said


def test_the_same_configuration_gives_the_same_bytes(tmp_path):
    assert tool(tmp_path, "rules", BUDGETS) == tool(tmp_path, "rules", BUDGETS)
    assert tool(tmp_path, "grafana", BUDGETS) == tool(tmp_path, "grafana", BUDGETS)


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_hostile_words_arrive_as_they_are_and_do_nothing(tmp_path, form):
    """Owner, reason and region go through YAML, PromQL and Go's templates."""
    config = BUDGETS.replace('"eu"', toml(HOSTILE_REGION)).replace('"growth"', toml(HOSTILE)).replace('"an old nickname on a page"', toml(HOSTILE))
    file = rules_file(tmp_path, config, *form)
    assert promtool(tmp_path, "check", "rules", "--lint-fatal", file)[0] == 0
    minutes = 4 * HOUR
    scenario = Scenario("hostile").judged("profile", "stream", (minutes, 600, 12), region=HOSTILE_REGION)
    rules = [rule for group in json.loads(tool(tmp_path, "rules", config, "--json")[1])["groups"] for rule in group["rules"]]
    page = next(rule for rule in rules if rule.get("alert") == PAGE[0] and rule["labels"]["severity"] == "page")
    scenario.exactly(minutes, PAGE[0], {"severity": "page", "feature": "profile", "region": HOSTILE_REGION, "owner": HOSTILE},
                     {**page["annotations"], "impact": HOSTILE, "summary": f"profile in {HOSTILE_REGION}: stale reads burn the budget 20 times as fast as it allows"})
    # A ticket as well: three days burn at 20 as far as there are any.
    ticket = next(rule for rule in rules if rule.get("alert") == PAGE[0] and rule["labels"]["severity"] == "ticket")
    scenario.alerts[-1]["exp_alerts"].append(
        {"exp_labels": {**scenario.alerts[-1]["exp_alerts"][0]["exp_labels"], "severity": "ticket"},
         "exp_annotations": {**scenario.alerts[-1]["exp_alerts"][0]["exp_annotations"], "description": ticket["annotations"]["description"]}})
    code, said = run_scenarios(tmp_path, file, [scenario])
    assert code == 0, said


# ---- what Prometheus decides ----

def burning(name, rate, before, during, after=0, reads=600, by="stream"):
    """Quiet for `before` minutes, then at `rate` times what is allowed, then quiet again."""
    parts = [(before, reads, 0), (during, reads, reads * ALLOWED * rate), (after, reads, 0)]
    return Scenario(name).judged("profile", by, *[part for part in parts if part[0]])


def firing(scenario, minute, what, count):
    return scenario.firing(minute, count, what[0], severity=what[1], feature="profile")


def test_a_fast_burn_pages_when_the_hours_window_says_so_and_ends_soon_after(tmp_path):
    began, ended = 3 * HOUR, 4 * HOUR
    scenario = burning("20 times", 20, began, ended - began, 3 * HOUR)
    onset = began + 14.4 / 20 * HOUR  # 43 minutes
    for minute, count in ((began, 0), (int(onset) - 1, 0), (int(onset) + 3, 1), (ended, 1), (ended + 3, 1), (ended + 13, 0), (ended + 2 * HOUR, 0)):
        firing(scenario, minute, PAGE, count)
    passes(tmp_path, BUDGETS, scenario)


def test_twice_the_rate_is_a_ticket_after_long_enough_and_never_a_page(tmp_path):
    began = 24 * HOUR
    scenario = burning("twice", 2, began, 30 * HOUR)
    # The three days' window holds 24 quiet hours: it burns at 1 after as many at 2.
    for hours, tickets in ((0, 0), (12, 0), (22, 0), (26, 1), (30, 1)):
        firing(scenario, began + hours * HOUR, TICKET, tickets)
        firing(scenario, began + hours * HOUR, PAGE, 0)
    passes(tmp_path, BUDGETS, scenario)


def test_seven_times_the_rate_pages_by_the_slower_rule(tmp_path):
    began = 7 * HOUR
    scenario = burning("seven times", 7, began, 7 * HOUR)
    onset = began + 6 / 7 * 6 * HOUR
    for minute, count in ((int(onset) - 5, 0), (int(onset) + 5, 1)):
        firing(scenario, minute, PAGE, count)
    passes(tmp_path, BUDGETS, scenario)


def test_inside_the_budget_nobody_is_woken(tmp_path):
    scenario = burning("inside", 0.9, 1, 12 * HOUR)
    for minute, what in itertools.product(range(30, 12 * HOUR, 45), (PAGE, TICKET)):
        firing(scenario, minute, what, 0)
    passes(tmp_path, BUDGETS, scenario)


def test_below_the_minimum_count_it_is_silent(tmp_path):
    """Every read is stale, and there are too few to tell; also where each stands for many."""
    few = Scenario("few").judged("profile", "stream", (12 * HOUR, 1, 1))
    heavy = Scenario("heavy").judged("profile", "origin", (12 * HOUR, 1, 1), weight=600)
    enough = Scenario("enough").judged("profile", "stream", (12 * HOUR, 2, 2))
    for scenario, count in ((few, 0), (heavy, 0), (enough, 1)):
        firing(scenario, 70, PAGE, count)
    # Six hours hold 360 of them.
    for scenario in (few, heavy):
        firing(scenario, 2 * HOUR + 30, PAGE, 1)
    passes(tmp_path, BUDGETS, few, heavy, enough)


def test_the_two_ways_of_judging_are_never_added(tmp_path):
    """What the stream is blind to is not diluted by all that it saw; and a region is not by another."""
    blind = burning("blind", 0, 1, 3 * HOUR).judged("profile", "origin", (1, 60, 0), (3 * HOUR, 60, 60 * ALLOWED * 20))
    elsewhere = burning("elsewhere", 0, 1, 3 * HOUR).judged("profile", "stream", (3 * HOUR, 600, 600), region="us")
    other = burning("other", 0, 1, 3 * HOUR).judged("word", "stream", (3 * HOUR, 600, 600))
    for scenario, count in ((blind, 1), (elsewhere, 0), (other, 0)):
        firing(scenario, 3 * HOUR, PAGE, count)
    passes(tmp_path, BUDGETS, blind, elsewhere, other)


def test_a_budget_that_allows_none_pages_at_the_first_stale_read(tmp_path):
    scenario = Scenario("none").judged("never", "stream", (2 * HOUR, 600, 0), (1, 600, 1), (2 * HOUR, 600, 0))
    for minutes, count in ((0, 0), (2, 1), (4, 1), (60, 0)):
        scenario.firing(2 * HOUR + minutes, count, PAGE[0], severity="page", feature="never")
    passes(tmp_path, BUDGETS, scenario)


def test_silence_is_not_freshness(tmp_path):
    minutes = 3 * HOUR

    def node(name, **more):
        scenario = Scenario(name)
        for feature in ("profile", "never"):
            scenario.add("candor_budget_state", steady(1, minutes), feature=feature, region="eu", state="unknown")
        return scenario.add("candor_reads_total", f"0+{more.get('reads', 600)}x{minutes}", feature="profile", region="eu", tier="l1", level="session")
    unmeasured, unread, measured, gone = node("unmeasured"), node("unread", reads=0), node("measured"), Scenario("gone")
    measured.judged("profile", "origin", (minutes, 1, 0))
    for scenario, count in ((unmeasured, 1), (unread, 0), (measured, 0), (gone, 1)):
        scenario.firing(minutes, count, "CandorBudgetNotMeasured", severity="ticket", feature="profile", region="eu")
    unmeasured.firing(10, 0, "CandorBudgetNotMeasured")
    passes(tmp_path, BUDGETS, unmeasured, unread, measured, gone)


def test_what_budgets_stand_on_is_a_ticket(tmp_path):
    minutes = 2 * HOUR
    well, ill = Scenario("well"), Scenario("ill")
    well.add("candor_feed_state", steady(1, minutes), origin="shop", region="eu", state="leading")
    well.add("candor_fresh_within_seconds", steady(0.3, minutes), origin="shop", region="eu")
    well.add("candor_lost_fraction", steady(0, minutes), feature="profile", region="eu")
    ill.add("candor_feed_state", steady(1, minutes), origin="shop", region="eu", state="connecting")
    ill.add("candor_fresh_within_seconds", f"0+30x{minutes}", origin="shop", region="eu")
    ill.add("candor_lost_fraction", "0 0 0.25 0+0x50", feature="profile", region="eu")
    ill.add("candor_degraded", steady(1, minutes), reason="l2_down", region="eu")
    alerts = ("CandorChangeFeedDead", "CandorChangesLate", "CandorDegraded", "CandorLostInvalidations")
    for alert in alerts:
        well.firing(20, 0, alert)
        ill.firing(20, 1, alert, severity="ticket")
    # Lost invalidations are looked for in samples: half an hour without one.
    ill.firing(30, 1, "CandorLostInvalidations").firing(40, 0, "CandorLostInvalidations")
    # The sweep finds what nobody reads; what it calls otherwise is no loss.
    swept, at_work = Scenario("swept"), Scenario("at work")
    swept.add("candor_reconciled_entries_total", "0 0 1+0x50", feature="profile", region="eu", outcome="lost")
    at_work.add("candor_reconciled_entries_total", f"0+9x{minutes}", feature="profile", region="eu", outcome="equal")
    swept.firing(20, 1, "CandorLostInvalidations", severity="ticket")
    at_work.firing(20, 0, "CandorLostInvalidations")
    passes(tmp_path, BUDGETS, well, ill, swept, at_work)


# ---- a real server ----

MISSED = f"""
[origins.shop]
url = "sqlite:shop.db"
[features.old]
{LOAD}ttl = "5s"
[features.old.budget]
max_staleness = "200ms"
stale_fraction = 0.001
window = "1h"
sample = 1.0
owner = "shop"
impact = "an old body"
"""


NODES = 3  # each checks about one read a second against the origin; together they tell enough within a minute


@pytest.fixture
def missed(start, shop):
    """The nodes of a region, whose readers get values that were changed behind their back."""
    nodes, stop = [start(MISSED) for _ in range(NODES)], threading.Event()
    clients = [node.client() for node in nodes]
    writer = sqlite3.connect(nodes[0].folder / "shop.db", isolation_level=None, timeout=10, check_same_thread=False)

    def read():
        for i in itertools.count():
            if stop.is_set():
                return
            for client in clients:
                client.mget([f"old:{key}" for key in range(100)])
            if i % 30 == 0:
                writer.execute("update item set body = body || '.' where id % 4 = ?", (i // 30 % 4,))
            time.sleep(0.02)

    reader = threading.Thread(target=read)
    reader.start()
    yield nodes
    stop.set()
    reader.join()
    writer.close()


def test_a_real_prometheus_records_and_fires_for_the_region(missed, tmp_path):
    done = subprocess.run([BUILD / "candor", "rules", missed[0].config, "--scrape-interval", "1s"], capture_output=True, text=True, timeout=60, check=True)
    rules = tmp_path / "candor.rules.yml"
    rules.write_text(done.stdout)
    server = Prometheus(tmp_path, rules, [f"127.0.0.1:{node.http_port}" for node in missed])
    try:
        identity = {"feature": "old", "region": "local"}
        ratio = 'candor:stale_reads:ratio_rate1m{feature="old",region="local",by="origin"}'
        wait_for(lambda: any(value > 0.001 for _, value in server.query(ratio)), 60, "the ratio is recorded", 0.5)
        labels, _ = wait_for(lambda: server.query('ALERTS{severity="page"}'), 90, "the page fires", 0.5)[0]
        assert labels == {"__name__": "ALERTS", "alertname": "CandorStalenessBudget", "alertstate": "firing", "severity": "page", "owner": "shop", **identity}
        alert = next(one for one in server.get("/api/v1/alerts")["alerts"] if one["labels"].get("severity") == "page")
        assert alert["annotations"]["impact"] == "an old body"
        assert re.fullmatch(r"old in local: stale reads burn the budget [\d.e+]+ times as fast as it allows", alert["annotations"]["summary"])
        # As many reads as the nodes judged, and not as many as these stand for; counters begin with the second scrape.
        counted = server.query('candor:checked_reads:effective1m{feature="old",by="origin"}')[0][1]
        said = sum(json.loads(node.http("/api/v1/budgets/old")[2])["measured"]["by_origin_window"]["reads"] for node in missed)
        assert 0.4 * said < counted < 1.3 * said
        for group in server.get("/api/v1/rules")["groups"]:
            for rule in group["rules"]:
                assert rule["health"] == "ok", rule
    finally:
        server.stop()


# ---- both tools ----

def known_metrics():
    page = subprocess.run([BUILD / "candor", "check", "--print-metrics"], capture_output=True, text=True, timeout=60, check=True).stdout
    kinds = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    histograms = {name + suffix for name, kind in kinds.items() if kind == "histogram" for suffix in ("_bucket", "_sum", "_count")}
    return {name for name, kind in kinds.items() if kind != "histogram"} | histograms


def metrics_in(expression):
    words = re.sub(r'"(\\.|[^"\\])*"', '""', expression)
    return set(re.findall(r"(?<![\w:])candor_\w+", words))


def test_rules_and_dashboard_name_metrics_that_there_are(tmp_path):
    known = known_metrics()
    rules = json.loads(tool(tmp_path, "rules", BUDGETS, "--json")[1])
    used = set().union(*(metrics_in(rule["expr"]) for group in rules["groups"] for rule in group["rules"]))
    board = json.loads(tool(tmp_path, "grafana", BUDGETS)[1])
    shown = set().union(*(metrics_in(target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])))
    asked = set().union(*(metrics_in(variable.get("definition", "")) for variable in board["templating"]["list"]))
    assert len(used) >= 7 and len(shown) >= 25 and asked
    assert (used | shown | asked) - known == set()
    recorded = {rule["record"] for group in rules["groups"] for rule in group["rules"] if "record" in rule}
    named = set().union(*(re.findall(r"candor:[\w:]+", rule["expr"]) for group in rules["groups"] for rule in group["rules"]))
    assert named - recorded == set()


def test_the_panels_have_their_own_places_and_ids(tmp_path):
    board = json.loads(tool(tmp_path, "grafana", BUDGETS)[1])
    panels = board["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken = {}
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24 and at["h"] > 0
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert taken.setdefault(cell, panel["title"]) == panel["title"], (cell, panel["title"], taken[cell])
    assert len({panel["title"] for panel in panels}) == len(panels)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels if "targets" in panel)
    assert {"Budgets", "Burn", "Predicted and measured", "How stale", "Reads", "Changes", "Origins", "Memory", "Levers"} == {p["title"] for p in panels if p["type"] == "row"}


def test_the_dashboards_queries_are_understood_by_prometheus(tmp_path):
    """As recording rules, with Grafana's variables filled in."""
    board = json.loads(tool(tmp_path, "grafana", BUDGETS)[1])
    expressions = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    fill = {"$__rate_interval": "1m", "$region": "eu", "$feature": "profile|word"}
    filled = [re.sub(r"\$\w+", lambda match: fill[match[0]], expression) for expression in expressions]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": [{"record": f"q{i}", "expr": e} for i, e in enumerate(filled)]}]}))
    code, said = promtool(tmp_path, "check", "rules", "--lint-fatal", file)
    assert code == 0, said


def test_hostile_words_are_text_in_the_dashboard(tmp_path):
    config = BUDGETS.replace('"growth"', toml(HOSTILE)).replace('"an old nickname on a page"', toml("a | b [x](javascript:1) <img src=x> $region ${region} [[region]]"))
    board = json.loads(tool(tmp_path, "grafana", config)[1])
    text = next(panel["options"]["content"] for panel in board["panels"] if panel["type"] == "text")
    assert len(text.rstrip().split("\n")) == 4 and all(line.count("|") == 7 for line in text.rstrip().split("\n")[2:])
    assert not set("<>$[]`{}") & set(text)


@pytest.mark.parametrize("command", ["rules", "grafana"])
def test_without_a_budget_or_with_errors_the_tool_says_so(tmp_path, command):
    plain = f'[origins.shop]\nurl = "sqlite:shop.db"\n[features.item]\n{LOAD}'
    code, out, err = tool(tmp_path, command, plain)
    assert (code, out) == (1, "") and "no feature has a budget" in err and "[features.NAME.budget]" in err
    code, out, _ = tool(tmp_path, command, plain, "--json")
    assert code == 1 and "no feature has a budget" in json.loads(out)["error"]
    code, out, err = tool(tmp_path, command, BUDGETS + "oops = 1\n")
    assert (code, out) == (2, "") and "oops" in err and "candor.toml:" in err
    assert tool(tmp_path, command, BUDGETS, "--nonsense")[0] == 2
    for arguments in ([command], [command, tmp_path / "nothing.toml"]):
        assert subprocess.run([BUILD / "candor", *arguments], capture_output=True, timeout=60).returncode == 2
    help_text = subprocess.run([BUILD / "candor", command, "--help"], capture_output=True, text=True, timeout=60)
    assert help_text.returncode == 0 and "Example" in help_text.stdout


def test_secrets_are_not_needed(tmp_path):
    config = BUDGETS.replace("[features.profile]", 'password_file = "not-on-this-machine"\n[features.profile]').replace("sqlite:shop.db", "postgresql://u@127.0.0.1:1/shop")
    assert tool(tmp_path, "rules", config)[0] == 0


@pytest.mark.parametrize("interval", ["0s", "500ms", "6m", "soon"])
def test_a_scrape_interval_that_cannot_be_is_wrong_usage(tmp_path, interval):
    code, out, err = tool(tmp_path, "rules", BUDGETS, "--scrape-interval", interval)
    assert (code, out) == (2, "") and "--scrape-interval" in err
