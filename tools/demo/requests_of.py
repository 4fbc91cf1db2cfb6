#!/usr/bin/env python3
"""Turns a recorded trace into what candor-load plays: tools/demo/requests_of.py TRACE FORMAT KEYS OUT.

FORMAT is be32 or be64 (big-endian keys), lirs (one key a line), csvkey:1 (second field) or arc (start, count, ...);
.gz, .xz and .zst are unpacked. Keys become numbers by their first appearance, modulo KEYS; OUT holds them as 32-bit
words of this machine. The first 2,000,000 requests are taken. An OUT newer than TRACE is kept.
"""
import array
import gzip
import lzma
import subprocess
import sys
from pathlib import Path

REQUESTS_MAX = 2_000_000


def unpacked(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    return path.read_bytes()


def words_of(data, code):
    values = array.array(code)
    values.frombytes(data[:len(data) // values.itemsize * values.itemsize])
    if sys.byteorder == "little":
        values.byteswap()
    return values


def keys(path, form):
    """The keys of a trace in order."""
    data = unpacked(Path(path))
    if form == "be32":
        return words_of(data, "I")
    if form == "be64":
        return words_of(data, "Q")
    lines = data.decode("latin-1").split("\n")
    if form == "lirs":
        return [line for line in map(str.strip, lines) if line and line != "*"]
    if form.startswith("csvkey:"):
        field = int(form.partition(":")[2])
        return [line.split()[field] for line in lines if line.strip()]
    if form == "arc":
        ranges = (line.split() for line in lines if line.strip())
        return [key for r in ranges for key in range(int(r[0]), int(r[0]) + int(r[1]))]
    raise SystemExit(f"error: unknown trace format '{form}'; there are be32, be64, lirs, csvkey:N and arc")


def main():
    if len(sys.argv) != 5:
        sys.exit(f"usage: {sys.argv[0]} TRACE FORMAT KEYS OUT")
    trace, form, count, out = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    if out.exists() and out.stat().st_mtime > trace.stat().st_mtime:
        return
    numbers = {}
    requests = array.array("I", (numbers.setdefault(k, len(numbers)) % count for k in keys(trace, form)[:REQUESTS_MAX]))
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_suffix(".writing")
    unfinished.write_bytes(requests.tobytes())
    unfinished.replace(out)


if __name__ == "__main__":
    main()
