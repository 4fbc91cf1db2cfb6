#!/usr/bin/env python3
"""Runs the demo: the daemon, its readers and writers, and a second process that writes straight to the database.

Called by scripts/run, which has built everything. Ctrl-C (or --for) ends all of it, by process id, and prints the
report. Exit code 0, or 1 when the demo could not start or the daemon died on the way.
"""
import argparse
import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import report  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent
VAR = Path("var/demo")
WORDS = 147_306   # rows of `word`, and of the articles below: build_database.py
ARTICLES = 20_000
TRACES = ROOT.parent / "shared" / "traces"
RECORDINGS = {"word": ("orm-busy.trace.xz", "be32", WORDS), "price": ("web12.trace.xz", "be32", ARTICLES)}
READY_TIMEOUT_S = 30
STOP_TIMEOUT_S = 15
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def seconds(text):
    match = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"'{text}': a duration is a whole number and ms, s, m or h, such as 20s")
    return int(match[1]) * UNITS[match[2]]


class Stop(Exception):
    pass


def interrupt(_signal, _frame):
    raise Stop


def dies_with_parent():
    # Even if this script is killed outright, nothing stays behind.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Processes:
    """The children, each in a session of its own so that Ctrl-C reaches only this script."""

    def __init__(self):
        self.running = []

    def start(self, name, command, log):
        output = open(log, "w", encoding="utf-8") if log else None
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output and subprocess.STDOUT,
                                 start_new_session=True, preexec_fn=dies_with_parent)
        self.running.append((name, child))
        return child

    def stop(self, child):
        if child.poll() is None:
            child.terminate()
            try:
                child.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self.running = [(n, c) for n, c in self.running if c is not child]
        return child.returncode

    def stop_all(self):
        for _, child in reversed(self.running):
            self.stop(child)


def ports(config):
    resp = config.get("resp", {}).get("listen", "127.0.0.1:6390")
    http = config.get("http", {}).get("listen", "127.0.0.1:8390")
    return resp.rpartition(":"), http.rpartition(":")


def must_be_free(host, port, option):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]") or "127.0.0.1", int(port)))
        except OSError as problem:
            sys.exit(f"error: {host}:{port}: {problem.strerror.lower()}. Stop what listens there, or choose another: {option} PORT")


def write_config(arguments):
    """The configuration to run, with the ports asked for: (its path, its content)."""
    source = Path(arguments.config or "demo/candor.toml")
    try:
        text = source.read_text()
    except OSError as problem:
        sys.exit(f"error: {source}: {problem.strerror.lower()}")
    for section, port in (("resp", arguments.port), ("http", arguments.http_port)):
        if port:
            text = re.sub(rf'(^\[{section}\]\s*\n(?:[^\[]*\n)*?listen\s*=\s*"[^"]*:)\d+"', rf'\g<1>{port}"', text, flags=re.MULTILINE)
    path = VAR / "candor.toml"
    path.write_text(text)
    try:
        return path, tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        sys.exit(f"error: {source}: {problem}")


def fetch(base, path):
    with urllib.request.urlopen(base + path, timeout=5) as answer:
        return answer.read().decode()


def wait_until_ready(base, daemon, log):
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if daemon.poll() is not None:
            sys.exit(f"error: candord ended with code {daemon.returncode}:\n{''.join(open(log).readlines()[-15:])}")
        try:
            fetch(base, "/readyz")
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    sys.exit(f"error: candord was not ready within {READY_TIMEOUT_S} s; its log: {log}")


def recordings():
    """Options of candor-load for the traces that are there; without them it generates."""
    options = []
    for feature, (name, form, count) in RECORDINGS.items():
        trace = TRACES / name
        if trace.exists():
            out = VAR / f"{feature}.requests"
            subprocess.run([sys.executable, "tools/demo/requests_of.py", str(trace), form, str(count), str(out)], check=True)
            options += [f"--{feature}-requests", str(out)]
    return options


def welcome(resp, base, options, arguments):
    source = "recorded traces" if options else "a generator fitted to recorded traces (docs/demo.md)"
    until = f"for {arguments.duration:g} s" if arguments.duration else "until Ctrl-C"
    print(f"Candor serves the demo {until}; readers follow {source}.\n\n"
          f"  dashboard   {base}/\n"
          f"  try         redis-cli -h {resp[0]} -p {resp[2]} get word:cache\n"
          f"              redis-cli -h {resp[0]} -p {resp[2]} -3 candor.get profile:7\n", flush=True)


def wait(daemon, load, duration):
    end = time.monotonic() + duration if duration else None
    while end is None or time.monotonic() < end:
        if daemon.poll() is not None or load.poll() is not None:
            return
        time.sleep(0.05)


def run(arguments, processes):
    path, config = write_config(arguments)
    resp, http = ports(config)
    must_be_free(resp[0], resp[2], "--port")
    must_be_free(http[0], http[2], "--http-port")
    base = f"http://{http[0]}:{http[2]}"
    options = recordings()
    # The triggers that tell of changes, where a feature of the configuration is watched.
    if any("watch" in feature for feature in config.get("features", {}).values()):
        subprocess.run([f"{arguments.build}/candor", "feed", "install", str(path)], check=True, stdout=subprocess.DEVNULL)
    log = VAR / "candord.log"
    daemon = processes.start("candord", [f"{arguments.build}/candord", "--config", str(path)], log)
    wait_until_ready(base, daemon, log)
    before = report.metrics(fetch(base, "/metrics"))
    welcome(resp, base, options, arguments)
    load_report, direct_report = VAR / "load.json", VAR / "direct.json"
    for old in (load_report, direct_report):
        old.unlink(missing_ok=True)
    features = config.get("features", {})
    load = processes.start("candor-load", [
        f"{arguments.build}/candor-load", "--host", resp[0], "--port", resp[2], "--rate", str(arguments.rate), "--progress",
        "5s", "--words", str(VAR / "words.txt"), "--features", ",".join(features), "--report", str(load_report), *options], None)
    writer = processes.start("write_directly", [sys.executable, "tools/demo/write_directly.py", str(VAR / "demo.db"), str(direct_report)],
                             VAR / "write_directly.log")
    try:
        wait(daemon, load, arguments.duration)
    except Stop:
        print()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    processes.stop(writer)
    processes.stop(load)
    died = daemon.poll() is not None
    after = [] if died else report.metrics(fetch(base, "/metrics"))
    budgets = [] if died else json.loads(fetch(base, "/api/v1/budgets"))["features"]
    code = daemon.returncode if died else processes.stop(daemon)
    if load_report.exists() and direct_report.exists():
        print("\n" + report.render(json.loads(load_report.read_text()), json.loads(direct_report.read_text()), before, after,
                                   features, budgets))
    if died or code != 0:
        sys.exit(f"error: candord ended with code {code}; its log: {log}")


def main():
    parser = argparse.ArgumentParser(prog="scripts/run", description="Candor in front of a real database under traffic.")
    parser.add_argument("--for", dest="duration", type=seconds, default=0, metavar="DURATION", help="such as 20s; without it: until Ctrl-C")
    parser.add_argument("--config", metavar="FILE", help="instead of demo/candor.toml")
    parser.add_argument("--port", type=int, help="RESP port, instead of the configuration's")
    parser.add_argument("--http-port", type=int, help="HTTP port, instead of the configuration's")
    parser.add_argument("--rate", type=float, default=20_000, help="reads per second (default 20000)")
    parser.add_argument("--build", default="build/release", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.chdir(ROOT)
    VAR.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    processes = Processes()
    try:
        subprocess.run([sys.executable, "tools/demo/build_database.py", str(VAR / "demo.db")], check=True)
        run(arguments, processes)
    except Stop:
        pass
    except subprocess.CalledProcessError as problem:
        sys.exit(f"error: {problem.cmd[1]} failed with code {problem.returncode}")
    finally:
        processes.stop_all()


if __name__ == "__main__":
    main()
