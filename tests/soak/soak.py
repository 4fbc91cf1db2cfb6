#!/usr/bin/env python3
"""Mixed load and random faults for a long time, and what must be true all along and at the end: no read without an answer, no `bounded` value
older than its bound, no acknowledged write lost, memory and descriptors flat, nothing stuck.

Usage: soak.py [--for 1h] [--seed N] [--build DIR]    (its own PostgreSQL, Redis and daemon; exit code 1: something was not true)"""
import argparse
import json
import os
import random
import re
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
for folder in (HERE.parent / "chaos", HERE.parent / "e2e"):
    sys.path.insert(0, str(folder))
import support  # noqa: E402

BOUND_S, SETTLES_S = 2.0, 30.0
# A row is written, seen by this program's clock and by the daemon's, on a machine that also runs everything else.
CLOCKS_S = 0.25
GROWTH_MAX = 0.05


def seconds_of(text):
    number, unit = re.fullmatch(r"(\d+)([smh]?)", text).groups()
    return int(number) * {"": 1, "s": 1, "m": 60, "h": 3600}[unit]


class Versions:
    """Rows of `watched` that others write at the database, and readers who know what they should have seen."""

    def __init__(self, world):
        from world import WATCHED
        self.world, self.keys = world, WATCHED
        self.commits = [[] for _ in range(self.keys)]  # of each key: when its version 1, 2, … was committed
        self.reads = self.refused = 0
        self.broken = []

    def write(self):
        draw = random.Random(3)
        while not self.world.over.wait(draw.expovariate(20)):
            key = draw.randrange(self.keys)
            try:
                self.world.postgres.sql("update item set body = %s where id = %s", f"v{len(self.commits[key]) + 1}", str(key))
            except Exception:  # noqa: BLE001 the database is away: then there is no new version
                time.sleep(0.2)
                continue
            self.commits[key].append(time.monotonic())

    def read(self):
        draw, raw = random.Random(4), None
        while not self.world.over.wait(0.02):
            key = draw.randrange(self.keys)
            due = [at for at in self.commits[key] if at < time.monotonic() - BOUND_S - CLOCKS_S]
            try:
                raw = raw or self.world.node.raw()
                answer = raw.command("GET", f"watched:{key}")
            except OSError:
                raw, answer = None, support.RespError("the connection ended")
            if isinstance(answer, support.RespError):
                self.refused += 1
                continue
            self.reads += 1
            text = answer.decode() if isinstance(answer, bytes) else ""
            seen = int(text[1:]) if re.fullmatch(r"v\d+", text) else 0
            # A commit whose answer was lost is a version that this program does not count: what is seen may be ahead.
            if seen < len(due):
                self.broken.append((key, seen, len(due)))


class Watch:
    """What the process takes, every two seconds."""

    def __init__(self, world):
        self.world, self.resident, self.files = world, [], []

    def run(self):
        while not self.world.over.wait(2):
            try:
                self.resident.append((time.monotonic(), self.world.resident_bytes()))
                self.files.append(len(self.world.files_open()))
            except OSError:
                return


def faults_of(draw):
    from faults import FAULTS
    usable = [fault for fault in FAULTS if fault.setting.stream == "redis" and "memory" not in fault.name]
    while True:
        draw.shuffle(usable)
        yield from usable


def run(arguments):
    from faults import FULL, write_notes
    from world import Setting, World
    draw = random.Random(arguments.seed)
    server = support.Postgres()
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        server.sql("create table item(id text primary key, body text)")
        server.sql("insert into item select i::text, 'item ' || i from generate_series(0, 1999) i")
        server.sql("create table note(id text primary key, body text)")
        setting = Setting(l1="16MiB", extra=FULL.extra, reads=FULL.reads, steps_clock=True)
        world = World(Path(folder), server, setting)
        versions, watch = Versions(world), Watch(world)
        world.setting = Setting(l1=setting.l1, extra=setting.extra, reads=setting.reads, steps_clock=True,
                                beside=(lambda _: versions.write(), lambda _: versions.read(), lambda _: watch.run(), write_notes))
        end = time.monotonic() + arguments.seconds
        struck, at_rest, judged = [], threading.Event(), threading.Event()

        def strike():
            strike_until_the_end()
            at_rest.set()
            judged.wait()  # servers that this thread has started end with it

        def strike_until_the_end():
            for fault in faults_of(draw):
                if world.over.wait(draw.uniform(8, 20)) or time.monotonic() > end - SETTLES_S:
                    return
                began = time.monotonic()
                try:
                    fault.begin(world)
                    world.over.wait(draw.uniform(2, 10))
                    fault.end(world)
                except Exception as problem:  # noqa: BLE001
                    problems.append(f"the fault {fault.name} could not be made: {problem!r}")
                    return
                struck.append(fault.name)
                print(f"{began - (end - arguments.seconds):7.0f} s  {fault.name}, {time.monotonic() - began:.0f} s", flush=True)

        striking = threading.Thread(target=strike)
        striking.start()
        out, _, _ = world.run(lambda _: None, lambda _: None, 0, arguments.seconds - SETTLES_S, SETTLES_S)
        at_rest.wait()
        problems += judge(world, versions, watch, out)
        judged.set()
        striking.join()
        world.close()
        server.stop()
    print(f"seed {arguments.seed}: {len(struck)} faults" + "".join(f"\nBROKEN: {problem}" for problem in problems))
    return 1 if problems else 0


def judge(world, versions, watch, out):
    problems, count, errors = [], 0, {}
    if not world.node.process.alive():
        return [f"the daemon ended with {world.node.process.child.returncode}: {world.node.process.log()[-500:]}"]
    for line in open(out):
        _, kind, _, *error = line.split()
        count += 1
        if error:
            errors[(kind, error[0])] = errors.get((kind, error[0]), 0) + 1
    unanswered = sum(n for (_, error), n in errors.items() if error == "NOANSWER")
    failed = sum(n for (kind, _), n in errors.items() if kind in ("hot", "aging"))
    print(f"{count} reads, {unanswered} without an answer, of what is cached {failed} failed; errors {({f'{k} {e}': n for (k, e), n in sorted(errors.items())})}")
    if unanswered:
        problems.append(f"{unanswered} reads without an answer")
    if failed > count / 1000:
        problems.append(f"{failed} of {count} reads of what is cached failed")
    print(f"{versions.reads} reads judged by versions ({versions.refused} refused), {len(versions.broken)} older than their bound")
    if versions.broken:
        problems.append(f"reads older than their bound: {versions.broken[:5]}")

    acknowledged = [number for _, number in world.notes["acknowledged"]]
    def missing():
        held = {row[0] for row in world.postgres.sql("select id from note")}
        return [number for number in acknowledged if number not in held]
    try:
        support.wait_for(lambda: not missing(), 20, "all are there")
    except AssertionError:
        problems.append(f"acknowledged writes lost: {missing()[:5]} of {len(acknowledged)}")
    print(f"{len(acknowledged)} writes acknowledged, {len(world.notes['refused'])} refused, {len(missing())} lost")

    # Some memory is learned in the first quarter: pools, tables of keys, curves.
    resident = [bytes_held for _, bytes_held in watch.resident]
    quarter = max(1, len(resident) // 4)
    early, late = statistics.median(resident[quarter:2 * quarter]), statistics.median(resident[-quarter:])
    print(f"resident: {early / 2**20:.1f} MiB in the second quarter, {late / 2**20:.1f} in the last; at most {max(resident) / 2**20:.1f}")
    if late > early * (1 + GROWTH_MAX):
        problems.append(f"memory grew from {early} to {late}")
    files = watch.files
    print(f"descriptors: {statistics.median(files[quarter:2 * quarter]):.0f} in the second quarter, {statistics.median(files[-quarter:]):.0f} in the last; at most {max(files)}")
    if statistics.median(files[-quarter:]) > statistics.median(files[quarter:2 * quarter]) + 20:
        problems.append("descriptors leak")

    def quiet():
        status = world.status()
        origin = status["origins"][0]
        return origin["waiting"] == 0 and origin["in_flight"] == 0 and not set(status["degraded"]) - {"origin_overloaded:pg"}
    try:
        support.wait_for(quiet, 40, "nothing waits and nothing is degraded")
    except AssertionError:
        status = world.status()
        problems.append(f"not quiet: {status['degraded']}, {json.dumps(status['origins'][0])}\n" + world.node.process.log()[-3000:])
    log = world.node.process.log()
    problems += [f"in the log: {line}" for line in log.splitlines() if " error " in line or "invariant" in line or "sanitizer" in line.lower()][:5]
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--for", dest="seconds", type=seconds_of, default=3600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--build", default="build/release")
    arguments = parser.parse_args()
    os.environ["CANDOR_BUILD"] = str((ROOT / arguments.build).resolve())
    support.BUILD = Path(os.environ["CANDOR_BUILD"])
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
