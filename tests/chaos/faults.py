"""The faults, and what must hold while they last."""
import os
import resource
import signal
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Callable

import redis
from support import wait_for
from world import World, Setting

MIB = 1 << 20


@dataclass
class Fault:
    name: str
    begin: Callable[[World], None]
    end: Callable[[World], None]
    seconds: float
    reason: str  # `degraded` says so while it lasts, and no more once all is well; "": it does not
    after: float = 10.0
    stays: tuple = ("origin_overloaded:pg",)  # is shown for 30 s on purpose
    answered: dict = field(default_factory=dict)  # of each kind of read: the least share that is answered
    setting: Setting = Setting()
    check: Callable = lambda world, outcome: None  # what else must hold, afterwards


CACHED = {"hot": 0.999, "aging": 0.999}
ALL = {"hot": 1.0, "aging": 1.0, "watched": 1.0, "cold": 1.0}
NATS = Setting(stream="nats")


def signal_server(which, number):
    return lambda world: os.kill(getattr(world, which).process.pid, number)


# ---- disk full: no file of the daemon grows beyond what its own log needs to say so ----

ROOM = 16 << 10

FULL = Setting(l1="8MiB", reads={"wide": (400, 16, 5000, "wide")}, extra="""
[disk]
path = "disk"
size = "64MiB"
memory = "4MiB"
write_rate = "0B"
[features.wide]
origin = "pg"
load = "select string_agg(md5(:key || i), '') from generate_series(1, 200) i"
load_many = "select k, (select string_agg(md5(k || i), '') from generate_series(1, 200) i) from unnest(cast(:keys as text[])) k"
ttl = "30m"
[features.note]
origin = "pg"
load = "select body from note where id = :key"
store = "insert into note(id, body) values (:key, :value) on conflict (id) do update set body = excluded.body"
write = "behind"
write_behind = { window = "50ms" }
""")


def fill_the_disk(world):
    """What the tier holds is forgotten, so that it has something to write."""
    world.limit(resource.RLIMIT_FSIZE, ROOM)
    world.node.client().execute_command("CANDOR.INVALIDATE", "FEATURE", "wide")


def write_notes(world):
    """Fifty writes a second, each of a key of its own; which of them were acknowledged, and in what words others were refused."""
    world.notes.update(acknowledged=[], refused=[])
    client, number = world.node.client(socket_timeout=5), 0
    while not world.over.is_set():
        number += 1
        try:
            client.set(f"note:{number}", "kept" * 500)
            world.notes["acknowledged"].append((time.monotonic(), str(number)))
        except redis.RedisError as problem:
            world.notes["refused"].append((time.monotonic(), str(problem)))
        time.sleep(0.02)


def notes_are_kept(world, outcome):
    acknowledged, refused = world.notes["acknowledged"], world.notes["refused"]
    assert any(outcome.began < at < outcome.ended for at, _ in refused), "the disk was not full for anybody"
    assert all("disk" in words or "write" in words for _, words in refused), refused[0]
    assert sum(at > outcome.ended + 2 for at, _ in acknowledged) > 100, "writes are taken again"
    def missing():
        held = {row[0] for row in world.postgres.sql("select id from note")}
        return [number for _, number in acknowledged if number not in held]
    wait_for(lambda: not missing(), 10, "no acknowledged write is lost")
    written = world.node.metric("candor_disk_demotions_total", outcome="written")
    wait_for(lambda: world.read_wide() and world.node.metric("candor_disk_demotions_total", outcome="written") > written, 20,
             "the disk tier takes entries again")


# ---- no descriptors left ----

def knock(world):
    """Ten new clients a second, each with one question."""
    world.notes["knocks"] = []
    while not world.over.is_set():
        began = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", world.node.port), 1) as new:
                new.sendall(b"PING\r\n")
                answered = new.recv(16) == b"+PONG\r\n"
        except OSError:
            answered = False
        world.notes["knocks"].append((began, answered))
        time.sleep(0.1)


def take_descriptors(world):
    world.limit(resource.RLIMIT_NOFILE, max(world.files_open()) + 1)


def knocks_are_heard_again(world, outcome):
    knocks = world.notes["knocks"]
    assert all(answered for at, answered in knocks if at < outcome.began)
    assert not all(answered for at, answered in knocks if outcome.began + 1 < at < outcome.ended - 1), "descriptors were left"
    assert all(answered for at, answered in knocks if at > outcome.ended + 2), "new clients are taken again"
    (began, before), (ended, after) = world.notes["cpu"]
    assert (after - before) / (ended - began) < 0.7, "it waits for descriptors, and does not spin"


# ---- memory ----

LINE = 160 * MIB
PRESSED = Setting(l1="150MiB", extra=f"""
[capacity]
process_memory = "{LINE}B"
[features.bulk]
origin = "pg"
load = "select repeat(md5(:key), 6000)"
ttl = "30m"
""")


def pour(world):
    """While the fault lasts: thirty megabytes a second of large values; and what the process holds."""
    client, number = world.node.client(), 0
    world.notes["resident"] = []
    while not world.over.is_set():
        if world.notes.get("pours"):
            pipe = client.pipeline(transaction=False)
            for _ in range(8):
                number += 1
                pipe.get(f"bulk:{number}")
            assert all(pipe.execute())
        world.notes["resident"].append(world.resident_bytes())
        time.sleep(0.05)


def memory_stays_below_its_line(world, outcome):
    most = max(world.notes["resident"])
    assert 0.7 * LINE < most <= LINE, f"{most / MIB:.1f} MiB of {LINE / MIB:.0f}"


# ---- the wall clock ----

def loads_are_as_before(world, outcome):
    before, during = outcome.loads_per_second("before"), outcome.loads_per_second("during")
    assert during < 1.5 * before, f"{during:.0f} loads a second instead of {before:.0f}: entries expired"


FAULTS = [
    Fault("origin killed", lambda w: w.postgres.kill(), lambda w: w.postgres.start(), 12, "origin_down:pg", answered=CACHED),
    Fault("origin stopped (SIGSTOP)", lambda w: w.signal_postgres(signal.SIGSTOP), lambda w: w.signal_postgres(signal.SIGCONT), 10,
          "origin_breaker_open:pg", answered=CACHED),
    Fault("origin slowed by 400 ms", lambda w: setattr(w.link, "delay", 0.2), lambda w: setattr(w.link, "delay", 0.0), 8, "",
          answered=CACHED),
    Fault("L2 killed", lambda w: w.l2.kill(), lambda w: w.l2.start(), 6, "l2_down", answered=ALL),
    Fault("L2 stopped (SIGSTOP)", signal_server("l2", signal.SIGSTOP), signal_server("l2", signal.SIGCONT), 6, "l2_breaker_open",
          answered=ALL),
    Fault("stream killed (Redis)", lambda w: w.stream.kill(), lambda w: w.stream.start(), 6, "stream", answered=ALL),
    Fault("stream stopped (Redis, SIGSTOP)", signal_server("stream", signal.SIGSTOP), signal_server("stream", signal.SIGCONT), 6,
          "stream", answered=ALL),
    Fault("stream killed (NATS)", lambda w: w.stream.process.kill(), lambda w: w.stream.start(), 6, "stream", answered=ALL, setting=NATS),
    Fault("stream stopped (NATS, SIGSTOP)", signal_server("stream", signal.SIGSTOP), signal_server("stream", signal.SIGCONT), 6,
          "stream", answered=ALL, setting=NATS),
    Fault("disk full", fill_the_disk, lambda w: w.limit(resource.RLIMIT_FSIZE, None), 9, "disk_off",
          stays=("disk_off", "write_behind_stuck:note"),
          answered={**ALL, "wide": 1.0}, setting=replace(FULL, beside=(write_notes,)), check=notes_are_kept),
    Fault("no descriptors left", take_descriptors, lambda w: w.limit(resource.RLIMIT_NOFILE, None), 6, "", answered=ALL,
          setting=Setting(beside=(knock,)), check=knocks_are_heard_again),
    Fault("memory line reached", lambda w: w.notes.update(pours=True), lambda w: w.notes.update(pours=False), 8, "memory",
          stays=("memory",), answered=ALL, setting=replace(PRESSED, beside=(pour,)),
          check=memory_stays_below_its_line),
    Fault("wall clock an hour ahead", lambda w: w.clock.step(3600), lambda w: w.clock.step(0), 6, "", answered=ALL,
          setting=Setting(steps_clock=True), check=loads_are_as_before),
    Fault("wall clock an hour back", lambda w: w.clock.step(-3600), lambda w: w.clock.step(0), 6, "", answered=ALL,
          setting=Setting(steps_clock=True), check=loads_are_as_before),
]
