#!/usr/bin/env python3
"""Checks every model of this folder with spin: run_models.py [MODEL.VARIANT ...] | --list | --trace MODEL VARIANT.

Each line of variants.txt is searched exhaustively. A variant that must fail and does not is as wrong as a protocol that
does not hold: it shows that the model cannot see the fault. --trace prints the shortest run that breaks a variant.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEARCH_TIMEOUT_S = 60  # a model that takes longer is too large for a test
DEPTH_MAX = 100000     # steps of one run; reaching it is an error of the search, not a pass


def variants():
    for line in (HERE / "variants.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            model, variant, expected = line.split()
            yield model, variant, expected


def name_of(model, variant):
    return f"{model}.{'as_built' if variant == '-' else variant}"


def command(arguments, folder):
    done = subprocess.run(arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=SEARCH_TIMEOUT_S)
    return done.returncode, done.stdout + done.stderr


def search(model, variant, folder, extra=()):
    """("holds" | "fails" | "broken", text, states)."""
    define = [] if variant == "-" else [f"-D{variant}"]
    code, output = command(["spin", *define, "-a", str(HERE / f"{model}.pml")], folder)
    if code != 0:
        return "broken", output, 0
    code, output = command(["cc", "-O1", "-w", "-DSAFETY", *extra, "-o", "pan", "pan.c"], folder)
    if code != 0:
        return "broken", output, 0
    _, output = command(["./pan", f"-m{DEPTH_MAX}", *(["-i"] if extra else [])], folder)
    states = int((re.search(r"(\d+) states, stored", output) or [0, 0])[1])
    errors = re.search(r"errors: (\d+)", output)
    if not errors or "max search depth too small" in output or "out of memory" in output or states == 0:
        return "broken", output, states
    if errors[1] == "0":
        return "holds", output, states
    # A deadlock of the model itself would also be an error: only a broken assertion is what was meant.
    return ("fails" if "assertion violated" in output else "broken"), output, states


def check(model, variant, expected):
    """None, or what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        verdict, output, states = search(model, variant, folder)
    if verdict == expected:
        print(f"as expected: {name_of(model, variant):<32} {verdict} {states:>9} states", flush=True)
        return None
    return f"{model} {variant}: expected '{expected}', spin says '{verdict}'\n{output[-2000:]}"


def trace(model, variant):
    with tempfile.TemporaryDirectory() as folder:
        search(model, variant, folder, extra=["-DREACH"])
        define = [] if variant == "-" else [f"-D{variant}"]
        print(command(["spin", *define, "-t", "-p", "-g", "-k", f"{folder}/{model}.pml.trail",
                       str(HERE / f"{model}.pml")], folder)[1])


def main():
    if sys.argv[1:2] == ["--trace"]:
        trace(*sys.argv[2:4])
        return 0
    if sys.argv[1:2] == ["--list"]:
        print("\n".join(name_of(m, v) for m, v, _ in variants()))
        return 0
    chosen = [line for line in variants() if len(sys.argv) == 1 or name_of(*line[:2]) in sys.argv[1:]]
    wrong = [text for text in (check(*line) for line in chosen) if text]
    print("\n".join(wrong))
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
