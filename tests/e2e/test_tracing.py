"""Requests with a W3C trace id become spans of a collector: a small HTTP server that keeps what it is sent."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support import SHOP, RespError, free_port, wait_for

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


class Collector:
    def __init__(self, port, status=200):
        self.bodies, self.paths, self.status = [], [], status
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.paths.append(self.path)
                if collector.status == 200:
                    collector.bodies.append(json.loads(body))
                self.send_response(collector.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def spans(self):
        return [s for b in list(self.bodies) for r in b["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def collector():
    made = Collector(free_port())
    yield made
    made.stop()


def traced_node(start, port, extra=""):
    return start(f'[tracing]\nendpoint = "http://127.0.0.1:{port}"\n{extra}\n' + SHOP)


def test_requests_of_a_trace_become_spans(start, shop, collector):
    node = traced_node(start, collector.server.server_port)
    raw = node.raw()
    raw.command("GET", "item:0")
    assert raw.command("CLIENT", "SETINFO", "TRACEPARENT", PARENT) == "OK"
    assert raw.command("GET", "item:1") == b"item 1"
    assert raw.command("GET", "item:1") == b"item 1"
    assert raw.command("CLIENT", "SETINFO", "TRACEPARENT", "") == "OK"
    raw.command("GET", "item:2")
    node.http("/api/v1/features/item", headers={"traceparent": PARENT})
    node.http("/api/v1/features/item", headers={"traceparent": "nonsense"})
    spans = wait_for(lambda: len(s := collector.spans()) >= 5 and s, 15, "spans")
    assert collector.paths[0] == "/v1/traces"
    assert {s["traceId"] for s in spans} == {TRACE}
    gets = [s for s in spans if s["name"] == "GET"]
    assert len(gets) == 2 and all(s["parentSpanId"] == "b7ad6b7169203331" and s["kind"] == 2 for s in gets)
    children = {g["spanId"]: {s["name"] for s in spans if s["parentSpanId"] == g["spanId"]} for g in gets}
    assert sorted(map(sorted, children.values())) == [["l1"], ["l2", "origin"]] or sorted(map(sorted, children.values())) == [["l1"], ["origin"]]
    for s in spans:
        assert int(s["startTimeUnixNano"]) <= int(s["endTimeUnixNano"])
    assert {a["key"]: a["value"]["stringValue"] for a in gets[0]["attributes"]}["candor.feature"] == "item"
    assert [s["name"] for s in spans if s["name"].startswith("GET /")] == ["GET /api/v1/features/{f}"]
    assert "item:1" not in json.dumps(collector.bodies)
    raw.close()


def test_what_is_no_trace_id_is_refused_and_what_is_not_sampled_is_not_sent(start, shop, collector):
    node = traced_node(start, collector.server.server_port)
    raw = node.raw()
    for wrong in ("", ):
        assert raw.command("CLIENT", "SETINFO", "TRACEPARENT", wrong) == "OK"
    for wrong in ("x", PARENT.upper(), PARENT + "-1", PARENT.replace(TRACE, "0" * 32)):
        assert isinstance(raw.command("CLIENT", "SETINFO", "TRACEPARENT", wrong), RespError), wrong
    assert raw.command("CLIENT", "SETINFO", "TRACEPARENT", PARENT[:-1] + "0") == "OK"
    raw.command("GET", "item:1")
    assert raw.command("CLIENT", "SETINFO", "TRACEPARENT", PARENT) == "OK"
    raw.command("GET", "item:2")
    raw.command("GET", "item:nobody:x")
    assert raw.command("RESET") == "RESET"
    raw.command("GET", "item:3")
    wait_for(lambda: collector.spans(), 15, "spans")
    assert sum(s["name"] == "GET" for s in collector.spans()) == 2
    raw.close()


def test_a_collector_that_is_away_or_refuses_holds_nobody_up(start, shop):
    port = free_port()
    node = traced_node(start, port)
    raw = node.raw()
    raw.command("CLIENT", "SETINFO", "TRACEPARENT", PARENT)
    for i in range(3000):  # more than may wait
        raw.command("GET", f"item:{i % 50}")
    wait_for(lambda: "tracing:" in node.log(), 15, "the log says so")
    collector = Collector(port)
    try:
        raw.command("GET", "item:1")
        wait_for(lambda: collector.spans(), 30, "spans arrive once it is back")
    finally:
        collector.stop()
    raw.close()


def test_without_a_collector_trace_ids_cost_nothing_and_a_wrong_address_is_an_error(start, shop, tmp_path):
    node = start()
    raw = node.raw()
    assert raw.command("CLIENT", "SETINFO", "TRACEPARENT", PARENT) == "OK"
    assert raw.command("GET", "item:1") == b"item 1"
    raw.close()
    bad = start('[tracing]\nendpoint = "ftp://x"\n' + SHOP, ready=False)
    import subprocess
    from support import BUILD
    done = subprocess.run([BUILD / "candor", "check", bad.config], capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert done.returncode == 1 and "tracing.endpoint" in done.stdout + done.stderr
