"""The control plane over HTTP: what it tells, and what it refuses."""
import json
import socket
import stat

import pytest

from support import wait_for


def test_health_and_readiness(node):
    assert node.http("/healthz")[0] == 200
    assert node.http("/readyz")[0] == 200


def test_metrics_carry_the_names_of_the_interface(node):
    node.client().get("item:1")
    node.client().get("item:1")
    text = node.http("/metrics")[2].decode()
    for name in ("candor_reads_total", "candor_origin_loads_total", "candor_memory_bytes", "candor_memory_limit_bytes",
                 "candor_evictions_total", "candor_origin_in_flight", "candor_read_seconds"):
        assert name in text, name
    wait_for(lambda: node.metric("candor_reads_total", feature="item", tier="l1") == 1, 5, "the hit is counted")
    assert node.metric("candor_reads_total", feature="item", tier="origin") == 1
    assert node.metric("candor_origin_loads_total", feature="item") == 1


def test_status_is_json(node):
    status, headers, body = node.http("/api/v1/status")
    assert status == 200 and headers["Content-Type"].startswith("application/json")
    assert isinstance(json.loads(body), dict)


def test_every_page_has_a_strict_policy(node):
    for path in ("/", "/healthz", "/metrics", "/api/v1/status", "/nothing-here"):
        headers = node.http(path)[1]
        policy = headers["Content-Security-Policy"]
        assert policy and "default-src 'none'" in policy or "default-src 'self'" in policy, path
        assert "unsafe-inline" not in policy and "unsafe-eval" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_token_is_private_and_made_once(node):
    path = node.folder / f"{node.name}-data" / "admin.token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    token = node.token()
    assert len(token) >= 32
    node.stop()
    node.start()
    assert node.token() == token


def change(node, path="/api/v1/flush", **changes):
    headers = {"Authorization": f"Bearer {node.token()}", "Origin": f"http://127.0.0.1:{node.http_port}", "Content-Type": "application/json"}
    headers.update(changes.pop("headers", {}))
    headers = {k: v for k, v in headers.items() if v is not None}
    return node.http(path, changes.pop("method", "POST"), headers, b"{}")[0]


def test_a_change_with_everything_right_is_done(node):
    node.client().set("plain:a", "1")
    assert change(node) in (200, 202, 204)
    assert node.client().get("plain:a") is None


@pytest.mark.parametrize("headers", [{"Authorization": None}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"},
                                     {"Origin": "http://evil.example"}, {"Host": "evil.example"}],
                         ids=["no token", "wrong token", "other scheme", "other origin", "other host"])
def test_a_change_is_refused(node, headers):
    node.client().set("plain:a", "1")
    assert change(node, headers=headers) in (400, 401, 403, 421)
    assert node.client().get("plain:a") == b"1"


def test_a_change_by_get_is_refused(node):
    node.client().set("plain:a", "1")
    assert change(node, method="GET") in (404, 405)
    assert node.client().get("plain:a") == b"1"


def test_keys_are_not_shown_without_the_token(node):
    for path in ("/api/v1/keys/item/1", "/api/v1/hotkeys"):
        assert node.http(path)[0] in (401, 403, 404), path


def test_an_endless_header_is_refused(node):
    with socket.create_connection(("127.0.0.1", node.http_port), timeout=10) as s:
        try:
            s.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: " + b"a" * 1_000_000 + b"\r\n\r\n")
            s.recv(4096)
        except OSError:
            pass
    assert node.http("/healthz")[0] == 200


def test_unfinished_requests_do_not_starve_health(node):
    held = []
    for _ in range(20):
        s = socket.create_connection(("127.0.0.1", node.http_port), timeout=10)
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127")
        held.append(s)
    wait_for(lambda: node.http("/healthz")[0] == 200, 30, "health answers though others hold connections open")
    for s in held:
        s.close()
