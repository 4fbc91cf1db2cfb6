"""The faults, and what must hold while they last."""
import os
import signal
from dataclasses import dataclass, field
from typing import Callable

from world import World


@dataclass
class Fault:
    name: str
    begin: Callable[[World], None]
    end: Callable[[World], None]
    seconds: float
    reason: str  # `degraded` says so while it lasts, and no more once all is well; "": it does not
    after: float = 8.0
    answered: dict = field(default_factory=dict)  # of each kind of read: the least share that is answered


CACHED = {"hot": 0.999, "aging": 0.999}
ALL = {"hot": 1.0, "aging": 1.0, "watched": 1.0, "cold": 1.0}


def signal_server(which, number):
    return lambda world: os.kill(getattr(world, which).process.pid, number)


FAULTS = [
    Fault("origin killed", lambda w: w.postgres.kill(), lambda w: w.postgres.start(), 20, "origin_down:pg", answered=CACHED),
    Fault("origin stopped (SIGSTOP)", lambda w: w.signal_postgres(signal.SIGSTOP), lambda w: w.signal_postgres(signal.SIGCONT), 12,
          "origin_breaker_open:pg", answered=CACHED),
    Fault("origin slowed by 400 ms", lambda w: setattr(w.link, "delay", 0.2), lambda w: setattr(w.link, "delay", 0.0), 10, "",
          answered=CACHED),
    Fault("L2 killed", lambda w: w.l2.kill(), lambda w: w.l2.start(), 10, "l2_down", answered=ALL),
    Fault("L2 stopped (SIGSTOP)", signal_server("l2", signal.SIGSTOP), signal_server("l2", signal.SIGCONT), 10, "l2_breaker_open",
          answered=ALL),
    Fault("stream killed", lambda w: w.stream.kill(), lambda w: w.stream.start(), 10, "stream", answered=ALL),
]
