#!/usr/bin/env python3
"""Fits the demo's generator to recorded traces: tools/demo/fit_traces.py FOLDER (the one with the traces).

The generator (src/app/load_keys.h) is a Zipf law, scans and drift. For each trace it is fitted in this order:
  zipf        exponent with the greatest likelihood of the counts by rank, over all keys of the trace
  scan share  requests whose key is the successor of a key asked at most NEAR requests earlier and that is asked only once or twice
  drift       the value whose generated sequence keeps as much of its most popular keys from one window to the next
Printed beside: the LRU miss ratio of the trace and of the fitted generator at three sizes. Where the two differ, the
trace has an order that the generator does not know (loops, bursts): the fit says so instead of hiding it.
"""
import collections
import math
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from requests_of import keys  # noqa: E402

TRACES = [("orm-busy.trace.xz", "be32"), ("web12.trace.xz", "be32"), ("scarab-recs.trace.xz", "be64"),
          ("corda-vaultservice.be64.gz", "be64"), ("w106.trace.xz", "be32"), ("arc-OLTP.lis.zst", "arc")]
REQUESTS = 400_000  # of each trace, from its start
NEAR = 64           # a scan's next key comes within so many requests
WINDOW = 50_000     # requests in a window when drift is measured
TOP = 200           # the most popular keys of a window
SIZES = (0.01, 0.05, 0.10)


def zipf_exponent(counts):
    """Greatest likelihood for ranks 1..n: the s where the mean of ln(rank) under the law equals that of the data."""
    logs = [math.log(rank) for rank in range(1, len(counts) + 1)]
    total = sum(counts)
    want = sum(c * l for c, l in zip(counts, logs)) / total
    low, high = 0.0, 3.0
    for _ in range(30):
        s = (low + high) / 2
        weights = [math.exp(-s * l) for l in logs]
        mean = sum(w * l for w, l in zip(weights, logs)) / sum(weights)
        low, high = (s, high) if mean > want else (low, s)
    return (low + high) / 2


def scan_share(requests, counts):
    recent, order, scans = collections.Counter(), collections.deque(), 0
    for key in requests:
        if isinstance(key, int) and recent[key - 1] and counts[key] <= 2:
            scans += 1
        order.append(key)
        recent[key] += 1
        if len(order) > NEAR:
            recent[order.popleft()] -= 1
    return scans / len(requests)


def kept(requests):
    """Mean share of a window's TOP keys that are in the next window's TOP as well."""
    windows = [requests[i:i + WINDOW] for i in range(0, len(requests) - WINDOW + 1, WINDOW)]
    tops = [{k for k, _ in collections.Counter(w).most_common(TOP)} for w in windows]
    pairs = list(zip(tops, tops[1:]))
    return sum(len(a & b) for a, b in pairs) / (TOP * len(pairs)) if pairs else 1.0


def generate(count, keys_total, s, share, drift, length=200, seed=1):
    """The law of src/app/load_keys.cc."""
    chance = random.Random(seed)
    cumulative, total = [], 0.0
    for rank in range(keys_total):
        total += (rank + 1) ** -s
        cumulative.append(total)
    at_rank = list(range(keys_total))
    chance.shuffle(at_rank)
    ranks = chance.choices(range(keys_total), cum_weights=cumulative, k=count)
    out, left, following = [], 0, 0
    start = share / (1 - share) / length if share else 0
    for rank in ranks:
        if left and chance.random() < 0.5:
            left -= 1
            out.append(following)
            following = (following + 1) % keys_total
            continue
        if start and not left and chance.random() < start:
            left, following = length, chance.randrange(keys_total)
        if drift and chance.random() < drift:
            other = chance.randrange(keys_total)
            at_rank[rank], at_rank[other] = at_rank[other], at_rank[rank]
        out.append(at_rank[rank])
    return out


def fitted_drift(want, count, keys_total, s, share):
    """The drift among a few whose sequence keeps its popular keys as the trace does."""
    best = (9.0, 0.0)
    for drift in (0.0, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1):
        difference = abs(kept(generate(count, keys_total, s, share, drift)) - want)
        best = min(best, (difference, drift))
    return best[1]


def lru_miss_ratio(requests, size):
    cache, misses = collections.OrderedDict(), 0
    for key in requests:
        if key in cache:
            cache.move_to_end(key)
        else:
            misses += 1
            cache[key] = None
            if len(cache) > size:
                cache.popitem(last=False)
    return misses / len(requests)


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    sizes = " | ".join(f"LRU miss at {s:.0%}, trace / fit" for s in SIZES)
    print(f"| trace | requests | keys | zipf | scan share | kept | drift | {sizes} |")
    print("|---|---:|---:|---:|---:|---:|---:|" + "---:|" * len(SIZES))
    for name, form in TRACES:
        requests = list(keys(Path(sys.argv[1]) / name, form)[:REQUESTS])
        counts = collections.Counter(requests)
        s = zipf_exponent(sorted(counts.values(), reverse=True))
        share = min(scan_share(requests, counts), 0.9)
        keeps = kept(requests)
        drift = fitted_drift(keeps, len(requests), len(counts), s, share)
        made = generate(len(requests), len(counts), s, share, drift)
        pairs = " | ".join(f"{lru_miss_ratio(requests, max(20, int(len(counts) * f))):.3f} / "
                           f"{lru_miss_ratio(made, max(20, int(len(counts) * f))):.3f}" for f in SIZES)
        print(f"| {name} | {len(requests):,} | {len(counts):,} | {s:.2f} | {share:.2f} | {keeps:.2f} | {drift:g} | {pairs} |", flush=True)


if __name__ == "__main__":
    main()
