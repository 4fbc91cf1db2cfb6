#!/usr/bin/env python3
"""Runs the chaos suite and writes its table into docs/chaos.md. `--seconds 60`: each fault lasts that long; else as in CI."""
import argparse
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "chaos.md"
MARK = "<!-- measured -->\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.md"
        env = dict(os.environ, CANDOR_CHAOS_TABLE=str(table), PYTHONDONTWRITEBYTECODE="1")
        if seconds:
            env["CANDOR_CHAOS_SECONDS"] = str(seconds)
        code = subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(HERE)], env=env, check=False).returncode
        if table.exists():
            text = PAGE.read_text()
            option = f" --seconds {seconds:.0f}" if seconds else ""
            how = f"`tests/chaos/write_table.py{option}` on {os.cpu_count()} cores ({platform.machine()}), readers and servers on the same machine:\n\n"
            PAGE.write_text(text[:text.index(MARK) + len(MARK)] + how + table.read_text())
    return code


if __name__ == "__main__":
    sys.exit(main())
