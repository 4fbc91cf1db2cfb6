#!/usr/bin/env python3
"""Runs every test program there is and counts test cases: one line per suite, the failures in full, one sum.

Suites: tidy (tools/), models (spin, tests/spin/), unit (one GoogleTest program per room), integration (real servers), histories (real
daemons under faults, their promises checked), e2e (pytest against the daemon), chaos (only when named: faults under open-loop load, tests/chaos/), node (clients and dashboard, node's test runner). A test that
is skipped, a program that crashes or prints no result, and a suite that finds no tests all count as failures: silence is never success.
"""
import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UNIT_TIMEOUT_S = 300         # a room's unit tests take milliseconds; sanitizers and RapidCheck multiply that
INTEGRATION_TIMEOUT_S = 600  # starts and stops real servers
HISTORIES_TIMEOUT_S = 900    # four minutes on a quiet machine; CANDOR_HISTORY_SECONDS makes it longer
PYTEST_TIMEOUT_S = 1500
CHAOS_TIMEOUT_S = 900        # six minutes on a quiet machine
NODE_TIMEOUT_S = 300
E2E_LANES = 2                # end-to-end tests mostly wait: one after the other they take 740 s and compute for 290
LANE_PORTS = 4000            # of each lane, from FIRST_PORT on
FIRST_PORT = 14000
# Limits of milliseconds to a second, or thousands of clients at one moment: these have the machine for themselves.
TIMED = ("test_bad_input.py", "test_degradation.py", "test_one_loop.py", "test_region_invalidate.py", "test_region_tags.py", "test_runbook.py",
         "test_trouble.py")
LONGEST = ("test_levers.py", "test_rules.py", "test_capacity.py", "test_budget.py")  # first, so that the lanes end together
MUTANTS_TIMEOUT_S = 900      # a minute or two on a quiet machine
SIM_HOURS = 300              # simulated; about two minutes on two quiet cores
MODELS_TIMEOUT_S = 300       # 15 s on one quiet core
TAIL_LINES = 40              # of a failing program's output are shown


class Outcome:
    """What one program said: names that passed, and (name, text) of those that failed."""

    def __init__(self, suite):
        self.suite = suite
        self.passed = []
        self.failed = []
        self.seconds = 0.0

    def fail(self, name, text):
        self.failed.append((name, text))


def run(command, timeout, cwd=ROOT, env=None):
    """(exit code or None on timeout, output). The program gets no stdin and its own process group."""
    process = subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
    try:
        output, _ = process.communicate(timeout=timeout)
        return process.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        output, _ = process.communicate()
        return None, output + f"\n(ended after {timeout} s)"


def tail(text):
    return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])


# ---- GoogleTest ----

def gtest_names(program):
    code, output = run([str(program), "--gtest_list_tests"], 60)
    if code != 0:
        return None, output
    names, group = [], ""
    for line in output.splitlines():
        line = line.split("#")[0].rstrip()
        if not line or line.startswith("Running main"):
            continue
        if line.startswith("  "):
            names.append(group + line.strip())
        else:
            group = line.strip()
    return names, output


def run_sharded_gtest(suite, program, selected, timeout):
    """As many processes as cores, each with a part of the tests: for those that only compute, one after the other."""
    names, _ = gtest_names(program)
    shards = min(os.cpu_count() or 1, len(names or [program]))  # what cannot be listed fails once
    whole = Outcome(suite)
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(max_workers=shards) as pool:
        parts = [pool.submit(run_gtest, suite, program, selected, timeout, (index, shards)) for index in range(shards)]
        for part in parts:
            whole.passed += part.result().passed
            whole.failed += part.result().failed
    whole.seconds = time.monotonic() - begin
    return whole


def run_gtest(suite, program, selected, timeout, shard=(0, 1)):
    outcome = Outcome(suite)
    begin = time.monotonic()
    names, listing = gtest_names(program)
    if names is None:
        outcome.fail(program.name, "cannot list its tests:\n" + tail(listing))
        return outcome
    wanted = [n for n in names if selected(f"{suite}/{n}") and "DISABLED_" not in n]
    wanted = wanted[shard[0]::shard[1]]
    # One argument holds at most 128 KiB, so names are spelt out only when they narrow the choice.
    pattern = "*" if len(wanted) == len(names) else ":".join(wanted)
    names = wanted
    if not names:
        return outcome
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        code, output = run([str(program), "--gtest_brief=1", f"--gtest_filter={pattern}",
                            f"--gtest_output=json:{report}"], timeout)
        cases = gtest_cases(report)
    for name in names:
        if name not in cases:
            how = "in time" if code is None else f"(exit code {code})"
            outcome.fail(name, f"{program.name} did not report this test {how}:\n{tail(output)}")
        elif cases[name]:
            outcome.fail(name, cases[name])
        else:
            outcome.passed.append(name)
    if code != 0 and not outcome.failed:
        outcome.fail(program.name, f"every test passed, yet exit code {code}:\n{tail(output)}")
    outcome.seconds = time.monotonic() - begin
    return outcome


def gtest_cases(report):
    """Test name -> "" (passed) or what was wrong."""
    if not report.exists() or report.stat().st_size == 0:
        return {}
    cases = {}
    for group in json.loads(report.read_text(errors="replace"))["testsuites"]:
        for case in group["testsuite"]:
            text = "\n".join(f["failure"] for f in case.get("failures", []))
            if case.get("result") == "SKIPPED" or case.get("status") == "NOTRUN":
                text = "skipped: a test that does not run proves nothing"
            cases[f"{group['name']}.{case['name']}"] = text
    return cases


# ---- pytest ----

def run_pytest(suite, paths, selected, build, timeout, environment=None):
    outcome = Outcome(suite)
    begin = time.monotonic()
    env = dict(os.environ, CANDOR_BUILD=str(build), PYTHONDONTWRITEBYTECODE="1", **(environment or {}))
    base = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    code, output = run(base + ["--collect-only", *paths], 120, env=env)
    nodes = [line for line in output.splitlines() if "::" in line and not line.startswith(" ")]
    if code != 0 or not nodes:
        outcome.fail(suite, "pytest cannot collect the tests:\n" + tail(output))
        return outcome
    nodes = [n for n in nodes if selected(f"{suite}/{pytest_name(n)}")]
    if not nodes:
        return outcome
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code, output = run(base + ["--tb=short", f"--junitxml={report}", *nodes], timeout, env=env)
        cases = pytest_cases(report)
    for name in map(pytest_name, nodes):
        if name not in cases:
            outcome.fail(name, f"pytest did not report this test (exit code {code}):\n{tail(output)}")
        elif cases[name]:
            outcome.fail(name, cases[name])
        else:
            outcome.passed.append(name)
    if code != 0 and not outcome.failed:
        outcome.fail(suite, f"every test passed, yet pytest's exit code is {code}:\n{tail(output)}")
    outcome.seconds = time.monotonic() - begin
    return outcome


def pytest_name(node):
    path, _, test = node.partition("::")
    return f"{Path(path).stem}.{test.replace('::', '.')}"


def pytest_cases(report):
    if not report.exists():
        return {}
    cases = {}
    for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        parts = case.get("classname", "").split(".")
        module = next((i for i, p in enumerate(parts) if p.startswith("test_") or p.endswith("_test")), len(parts) - 1)
        name = ".".join(parts[module:] + [case.get("name", "")])
        text = ""
        for kind in ("failure", "error", "skipped"):
            found = case.find(kind)
            if found is not None:
                text = f"{kind}: {found.get('message') or ''}\n{tail(found.text or '')}"
        cases[name] = text or cases.get(name, "")
    return cases


# ---- node's test runner (TAP) ----

def run_node(suite, file, selected, build, timeout):
    outcome = Outcome(suite)
    begin = time.monotonic()
    name = file.stem
    env = dict(os.environ, CANDOR_BUILD=str(build), NODE_NO_WARNINGS="1")
    if not selected(f"{suite}/{name}"):
        return outcome
    code, output = run(["node", "--test-reporter=tap", str(file)], timeout, env=env)
    leaves = tap_leaves(output)
    for label, ok, text in leaves:
        if ok:
            outcome.passed.append(f"{name}: {label}")
        else:
            outcome.fail(f"{name}: {label}", text)
    if not leaves or (code != 0 and not outcome.failed):
        outcome.fail(name, f"exit code {code}, {len(leaves)} results:\n{tail(output)}")
    outcome.seconds = time.monotonic() - begin
    return outcome


RESULT = re.compile(r"^( *)(not ok|ok) \d+(?: - (.*))?$")


def tap_leaves(output):
    """(label, passed, text) of each innermost result; a result that follows deeper ones is their group."""
    leaves, deeper, lines = [], 0, output.splitlines()
    for index, line in enumerate(lines):
        match = RESULT.match(line)
        if not match:
            continue
        depth, ok, label = len(match[1]), match[2] == "ok", match[3] or ""
        group = deeper > depth
        deeper = depth
        if group:
            continue
        left_out = re.search(r"# (SKIP|TODO)", label, re.IGNORECASE) is not None
        text = "skipped: a test that does not run proves nothing" if left_out else "\n".join(lines[index:index + 30])
        leaves.append((label, ok and not left_out, text))
    return leaves


# ---- spin models ----

def run_models(suite, selected, timeout):
    outcome = Outcome(suite)
    script = ROOT / "tests" / "spin" / "run_models.py"
    begin = time.monotonic()
    _, listing = run(["/usr/bin/python3", str(script), "--list"], 30)
    names = [line for line in listing.split() if selected(f"{suite}/{line}")]
    if not names:
        return outcome
    _, output = run(["/usr/bin/python3", str(script), *names], timeout)
    passed = {line.split()[2] for line in output.splitlines() if line.startswith("as expected: ")}
    for name in names:
        if name in passed:
            outcome.passed.append(name)
        else:
            outcome.fail(name, tail(output))
    outcome.seconds = time.monotonic() - begin
    return outcome


# ---- the simulator ----

def fresh_seed():
    """Of the commit: new for every change, and the same for whoever looks at it again."""
    code, output = run(["git", "rev-parse", "HEAD"], 30)
    return int(output.strip()[:8], 16) * 1_000_000 if code == 0 else int(time.time()) * 1_000_000


def run_fresh_seeds(suite, program, selected, timeout):
    """Two simulators side by side, on seeds that nobody has run before."""
    outcome = Outcome(suite)
    hours = float(os.environ.get("CANDOR_SIM_HOURS", SIM_HOURS))
    begin = time.monotonic()
    if not selected(f"{suite}/fresh_seeds"):
        return outcome
    seeds = [fresh_seed(), fresh_seed() + 500_000]
    commands = [[str(program), "sim", "--seed", str(seed), "--hours", str(hours / 2), "--json"] for seed in seeds]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        answers = list(pool.map(lambda command: run(command, timeout), commands))
    for seed, (code, output) in zip(seeds, answers):
        name = f"fresh_seeds.{seed}"
        try:
            said = json.loads(output[output.index("{"):output.rindex("}") + 1])
            checked = sum(check["checked"] for check in said["checks"])
        except ValueError:
            outcome.fail(name, f"exit code {code}\n{tail(output)}")
            continue
        if code != 0 or said["broken_seeds"] or checked == 0:
            rules = ", ".join(check["rule"] for check in said["checks"] if check["broken"])
            again = "".join(f"\n  candor sim --seed {broken}" for broken in said["broken_seeds"])
            outcome.fail(name, f"exit code {code}, {checked} checks, broken: {rules or 'none'}; again with:{again}" +
                         ("" if rules else "\n" + tail(output)))
            continue
        outcome.passed.append(name)
        print(f"sim: seeds {seed}..{seed + said['runs'] - 1}: {said['simulated_hours']:.1f} simulated hours, "
              f"{said['operations']} operations, {checked} checks, none broken", flush=True)
    outcome.seconds = time.monotonic() - begin
    return outcome


# ---- all of it ----

def collect(arguments, selected):
    """Three lists of work as (suite, callable): what only computes, on all cores; what mostly waits, side by side; what times or fills the
    machine, one by one."""
    build = Path(arguments.build).resolve()
    suites = arguments.suites.split(",")
    programs = sorted(build.glob("candor_*_test"))
    parallel, beside, serial = [], [], []
    if "tidy" in suites:
        files = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "tools").glob("*_test.py"))]
        parallel.append(("tidy", lambda files=files: run_pytest("tidy", files, selected, build, PYTEST_TIMEOUT_S)))
    if "models" in suites:
        parallel.append(("models", lambda: run_models("models", selected, MODELS_TIMEOUT_S)))
    if "unit" in suites:
        for program in programs:
            if program.name not in ("candor_integration_test", "candor_history_test"):
                parallel.append(("unit", lambda p=program: run_gtest("unit", p, selected, UNIT_TIMEOUT_S)))
    if "integration" in suites:
        for program in programs:
            if program.name == "candor_integration_test":
                beside.append(("integration",
                               lambda p=program: run_gtest("integration", p, selected, INTEGRATION_TIMEOUT_S)))
    if "histories" in suites:
        for program in programs:
            if program.name == "candor_history_test":
                serial.append(("histories",
                               lambda p=program: run_gtest("histories", p, selected, HISTORIES_TIMEOUT_S)))
    if "sim" in suites:
        if (build / "candor_mutants").exists():
            serial.append(("sim", lambda: run_sharded_gtest("sim", build / "candor_mutants", selected, MUTANTS_TIMEOUT_S)))
        serial.append(("sim", lambda: run_fresh_seeds("sim", build / "candor", selected, MUTANTS_TIMEOUT_S)))
    if "e2e" in suites:
        names = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "tests" / "e2e").glob("test_*.py"))]
        names.sort(key=lambda name: LONGEST.index(Path(name).name) if Path(name).name in LONGEST else len(LONGEST))
        timed = [name for name in names if Path(name).name in TIMED]
        names = [name for name in names if name not in timed]
        for lane in range(E2E_LANES):
            first = FIRST_PORT + lane * LANE_PORTS
            beside.append(("e2e", lambda chosen=names[lane::E2E_LANES], ports=f"{first}-{first + LANE_PORTS - 1}":
                           run_pytest("e2e", chosen, selected, build, PYTEST_TIMEOUT_S, {"CANDOR_TEST_PORTS": ports})))
        serial.append(("e2e", lambda: run_pytest("e2e", timed, selected, build, PYTEST_TIMEOUT_S)))
    if "chaos" in suites:
        serial.append(("chaos", lambda: run_pytest("chaos", ["tests/chaos/test_chaos.py"], selected, build, CHAOS_TIMEOUT_S)))
    if "node" in suites:
        for file in sorted((ROOT / "tests").glob("*/*.test.mjs")):
            if "node_modules" not in file.parts:
                serial.append(("node", lambda f=file: run_node("node", f, selected, build, NODE_TIMEOUT_S)))
    return parallel, beside, serial


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help="the build folder with the test programs")
    parser.add_argument("--filter", default="", help="run tests whose SUITE/NAME contains this, upper or lower case alike")
    parser.add_argument("--suites", default="tidy,models,unit,integration,histories,sim,e2e,node",
                        help="chaos is not among them: its latencies want a machine that does nothing else")
    parser.add_argument("--label", default="", help="printed beside each suite's name")
    arguments = parser.parse_args()
    wanted = arguments.filter.lower()
    parallel, beside, serial = collect(arguments, lambda name: wanted in name.lower())

    totals = {}

    def account(outcome):
        known = totals.setdefault(outcome.suite, Outcome(outcome.suite))
        known.passed += outcome.passed
        known.failed += outcome.failed
        known.seconds += outcome.seconds
        for name, text in outcome.failed:
            print(f"FAILED {outcome.suite}/{name}\n{text}\n", flush=True)

    for works, workers in ((parallel, os.cpu_count() or 1), (beside, max(len(beside), 1))):
        with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
            for done in concurrent.futures.as_completed([pool.submit(work) for _, work in works]):
                account(done.result())
    for _, work in serial:
        account(work())
    return summary(totals, arguments, wanted)


def summary(totals, arguments, wanted):
    passed = sum(len(o.passed) for o in totals.values())
    failed = sum(len(o.failed) for o in totals.values())
    if not wanted:
        for suite in arguments.suites.split(","):
            if suite not in totals or not (totals[suite].passed or totals[suite].failed):
                print(f"FAILED {suite}: no tests were found")
                failed += 1
    elif passed + failed == 0:
        print(f"no test's name contains '{arguments.filter}'")
        failed += 1
    for suite, outcome in totals.items():
        if outcome.passed or outcome.failed:
            label = f" ({arguments.label})" if arguments.label else ""
            print(f"{suite + label:<20}{len(outcome.passed):>6} passed {len(outcome.failed):>4} failed {outcome.seconds:>8.1f} s")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
