"""Every fault under open-loop load, with thresholds. `CANDOR_CHAOS_SECONDS=60` makes each fault last that long; `CANDOR_CHAOS_TABLE=FILE`
writes the table there (tests/chaos/write_table.py does both, for docs/chaos.md)."""
import os

import pytest
from faults import FAULTS
from judge import HEAD, Outcome, row
from world import CAP, World

BEFORE_S = 6.0
# A scheduler's hiccup of a shared machine; below it "twice as long" is noise.
NOISE_MS = 10.0
RECOVERY_S = 7.0  # the breaker's longest pause, a reconnect, and two looks

rows = {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(fault, tmp_path, postgres):
    seconds = float(os.environ.get("CANDOR_CHAOS_SECONDS", fault.seconds))
    world = World(tmp_path, postgres)
    try:
        reads, began, ended = world.run(fault.begin, fault.end, BEFORE_S, seconds, fault.after)
        outcome = Outcome(fault, reads, began, ended, world.looks)
    finally:
        world.close()
    rows[fault.name] = row(outcome)
    print("\n" + HEAD + rows[fault.name])
    for kind, least in fault.answered.items():
        for phase in ("before", "during", "after"):
            span = outcome.span(phase, kind)
            assert span.share >= least, f"{kind} {phase}: {span}"
    before, during = outcome.span("before", "hot"), outcome.span("during", "hot")
    assert during.p99 <= max(2 * before.p99, NOISE_MS), f"hits took {during.p99:.1f} ms instead of {before.p99:.1f}"
    assert outcome.in_flight_max <= CAP
    assert outcome.span("during", "cold").slowest < 3000, "who cannot be answered is told so within its hard_timeout"
    assert not fault.reason or outcome.was_said, f"`degraded` never said {fault.reason}"
    assert outcome.recovery_s <= RECOVERY_S, f"recovered after {outcome.recovery_s:.1f} s only"


def test_write_the_table():
    path = os.environ.get("CANDOR_CHAOS_TABLE")
    if path:
        with open(path, "w") as out:
            out.write(HEAD + "".join(rows[fault.name] for fault in FAULTS))
