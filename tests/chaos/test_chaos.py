"""Every fault under open-loop load, with thresholds. `CANDOR_CHAOS_SECONDS=60` makes each fault last that long; `CANDOR_CHAOS_TABLE=FILE`
writes the table there (tests/chaos/write_table.py does both, for docs/chaos.md)."""
import os

import pytest
from faults import FAULTS
from judge import HEAD, Outcome, row
from world import CAP, World

BEFORE_S = 5.0
# A scheduler's hiccup of a shared machine; below it "twice as long" is noise.
NOISE_MS = 10.0
RECOVERY_S = 7.0  # the breaker's longest pause, a reconnect, and two looks

rows = {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
def test_fault(fault, tmp_path, postgres):
    seconds = float(os.environ.get("CANDOR_CHAOS_SECONDS", fault.seconds))
    world = World(tmp_path, postgres, fault.setting)
    try:
        reads, began, ended = world.run(fault.begin, fault.end, BEFORE_S, seconds, fault.after)
        assert world.node.process.alive(), f"the daemon ended with {world.node.process.child.returncode}:\n{world.node.process.log()}"
        outcome = Outcome(fault, reads, began, ended, world.looks)
        rows[fault.name] = row(outcome)
        print("\n" + HEAD + rows[fault.name])
        fault.check(world, outcome)
    finally:
        world.close()
    for kind, least in fault.answered.items():
        for phase in ("before", "during", "after"):
            span = outcome.span(phase, kind)
            assert span.share >= least, f"{kind} {phase}: {span}"
    before, during = outcome.typical_p99("before", "hot"), outcome.typical_p99("during", "hot")
    assert during <= max(2 * before, NOISE_MS), f"hits took {during:.1f} ms instead of {before:.1f}"
    assert outcome.in_flight_max <= CAP
    assert outcome.span("during", "cold").slowest < 3000, "who cannot be answered is told so within its hard_timeout"
    assert not fault.reason or outcome.was_said, f"`degraded` never said {fault.reason}"
    assert outcome.recovery_s <= RECOVERY_S, f"after {outcome.recovery_s:.1f} s: {outcome.left()[-3:]}"


def test_write_the_table():
    path = os.environ.get("CANDOR_CHAOS_TABLE")
    if path:
        with open(path, "w") as out:
            out.write(HEAD + "".join(rows[fault.name] for fault in FAULTS))
