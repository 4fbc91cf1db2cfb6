#!/usr/bin/env python3
"""Fits the demo's generator to recorded traces: tools/demo/fit_traces.py FOLDER (the one with the traces).

The generator (src/app/load_keys.h) is a Zipf law, repeats, scans and drift. For each trace:
  zipf        the exponent with the greatest likelihood of the counts by rank, over all keys of the trace
  scan share  requests whose key follows a key asked at most NEAR requests earlier, and that is asked once or twice only
  repeats, drift   the choice from a small grid whose LRU miss ratios at SIZES are nearest to the trace's
Printed beside are those miss ratios. Where they differ, the trace has an order that the generator does not know
(loops, for one): the table says so instead of hiding it.
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
REQUESTS = 200_000  # of each trace, from its start
NEAR = 64           # a scan's next key comes within so many requests
REPEAT_SHARES = (0.0, 0.2, 0.4, 0.55, 0.7, 0.8)
REPEAT_WINDOWS = (100, 1_000, 10_000)
DRIFTS = (0.0, 0.001, 0.01)
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


def generate(count, keys_total, s, repeats, window, share, drift, length=200, seed=1):
    """The law of src/app/load_keys.cc."""
    chance = random.Random(seed)
    cumulative, total = [], 0.0
    for rank in range(keys_total):
        total += (rank + 1) ** -s
        cumulative.append(total)
    at_rank = list(range(keys_total))
    chance.shuffle(at_rank)
    ranks = chance.choices(range(keys_total), cum_weights=cumulative, k=count)
    out, left, following, reach = [], 0, 0, math.log(window)
    start = share / (1 - 2 * share) / length if share else 0
    for rank in ranks:
        if repeats and len(out) >= window and chance.random() < repeats:
            out.append(out[-int(math.exp(chance.random() * reach))])
            continue
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


def best_fit(requests, keys_total, s, share):
    """(repeat share, repeat window, drift, miss ratios) nearest to the trace's miss ratios."""
    want = miss_ratios(requests, keys_total)
    best = None
    for repeats in REPEAT_SHARES:
        for window in REPEAT_WINDOWS if repeats else (1,):
            for drift in DRIFTS:
                got = miss_ratios(generate(len(requests), keys_total, s, repeats, window, share, drift), keys_total)
                off = sum(abs(a - b) for a, b in zip(want, got))
                if best is None or off < best[0]:
                    best = (off, repeats, window, drift, got)
    return want, best[1:]


def miss_ratios(requests, keys_total):
    return [lru_miss_ratio(requests, max(20, int(keys_total * f))) for f in SIZES]


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
    print(f"| trace | requests | keys | zipf | scan share | repeats | window | drift | {sizes} |")
    print("|---|" + "---:|" * (7 + len(SIZES)))
    for name, form in TRACES:
        requests = list(keys(Path(sys.argv[1]) / name, form)[:REQUESTS])
        counts = collections.Counter(requests)
        s = zipf_exponent(sorted(counts.values(), reverse=True))
        share = min(scan_share(requests, counts), 0.4)
        want, (repeats, window, drift, got) = best_fit(requests, len(counts), s, share)
        pairs = " | ".join(f"{a:.3f} / {b:.3f}" for a, b in zip(want, got))
        print(f"| {name} | {len(requests):,} | {len(counts):,} | {s:.2f} | {share:.2f} | {repeats:g} | {window:,} | {drift:g} | {pairs} |",
              flush=True)


if __name__ == "__main__":
    main()
