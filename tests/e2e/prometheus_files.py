"""Series and expectations for `promtool test rules`, and a real Prometheus server on a free port."""
import json
import subprocess
import urllib.parse
import urllib.request

import support

MINUTE = 60


def totals(*parts):
    """A counter of (minutes, increase in each) one after the other, a sample a minute, from 0 on."""
    words, total, begins = [], 0, True
    for minutes, step in parts:
        first = total if begins else total + step
        words.append(f"{first}+{step}x{minutes if begins else minutes - 1}")
        total += minutes * step
        begins = False
    return " ".join(words)


def steady(value, minutes):
    return f"{value}+0x{minutes}"


def label_text(labels):
    def quoted(text):
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return "{" + ",".join(f'{name}="{quoted(value)}"' for name, value in labels.items()) + "}"


class Scenario:
    """Counters of one node, and which alerts go on when."""

    def __init__(self, name):
        self.name, self.series, self.expressions, self.alerts = name, [], [], []

    def add(self, metric, values, **labels):
        self.series.append({"series": metric + label_text(labels), "values": values})
        return self

    def judged(self, feature, by, *parts, region="eu", weight=1):
        """`parts`: (minutes, reads judged in each, of these stale); each judged read stands for `weight`."""
        labels = {"feature": feature, "region": region, "by": by}
        self.add("candor_checked_reads_total", totals(*((m, reads * weight) for m, reads, _ in parts)), **labels)
        self.add("candor_checked_reads_squares_total", totals(*((m, reads * weight**2) for m, reads, _ in parts)), **labels)
        for cause, share in (("lag", 1), ("race", 0)):
            self.add("candor_stale_reads_total", totals(*((m, stale * weight * share) for m, _, stale in parts)), cause=cause, **labels)
        return self

    def firing(self, minute, count, alert, **labels):
        """So many alerts of these labels fire at that minute."""
        expr = "count(ALERTS" + label_text({"alertname": alert, "alertstate": "firing", **labels}) + ")"
        samples = [{"labels": "{}", "value": count}] if count else []
        self.expressions.append({"expr": expr, "eval_time": f"{minute}m", "exp_samples": samples})
        return self

    def exactly(self, minute, alert, labels, annotations):
        self.alerts.append({"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}]})
        return self

    def document(self):
        return {"name": self.name, "interval": "1m", "input_series": self.series, "promql_expr_test": self.expressions, "alert_rule_test": self.alerts}


def promtool(folder, *arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout + done.stderr


def yaml_safe(document):
    """JSON that a reader of YAML understands: no pairs of surrogates, no odd line ends."""
    text = json.dumps(document, ensure_ascii=False)
    return "".join(c if c < "\x7f" or c > "\uffff" or (c.isprintable() and c != "\ufffd") else f"\\u{ord(c):04x}" for c in text)


def run_scenarios(folder, rules, scenarios):
    """JSON is YAML, so that nothing has to be quoted here."""
    file = folder / "scenarios.yml"
    file.write_text(yaml_safe({"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": [s.document() for s in scenarios]}))
    return promtool(folder, "test", "rules", file)


class Prometheus:
    def __init__(self, folder, rules, targets):
        self.port = support.free_port()
        config = folder / "prometheus.yml"
        config.write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "candor", "static_configs": [{"targets": targets}]}]}))
        self.process = support.Process(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}",
                                        f"--web.listen-address=127.0.0.1:{self.port}"], folder, "prometheus")
        support.wait_for(lambda: self.get("/-/ready", is_json=False), 30, "prometheus is ready")

    def get(self, path, is_json=True):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            body = answer.read()
        return json.loads(body)["data"] if is_json else body

    def query(self, expr):
        """[(labels, value)]"""
        found = self.get("/api/v1/query?" + urllib.parse.urlencode({"query": expr}))["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def stop(self):
        self.process.stop()
