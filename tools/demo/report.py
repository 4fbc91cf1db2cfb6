"""The demo's report: what each feature's readers got, and what is known about how stale it was.

Nothing is invented: a column that nothing measures says `not measured`, and what is not measured is `not judged`.
"""
import math
import re

LINE = re.compile(r'^(candor_\w+)\{([^}]*)\} ([0-9.e+-]+)', re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


def metrics(text):
    """[(name, labels, value), ...] of a Prometheus page."""
    return [(m[1], dict(LABEL.findall(m[2])), float(m[3])) for m in LINE.finditer(text)]


def total(samples, name, **labels):
    """The sum of the samples with these labels; None if there is no such sample."""
    found = [v for n, have, v in samples if n == name and all(have.get(k) == w for k, w in labels.items())]
    return sum(found) if found else None


def stale_fraction_of_ttl(update_rate, ttl_s):
    """Share of reads of one hot key that a ttl alone lets be stale: 1 - (1 - e^(-uT)) / (uT)."""
    x = update_rate * ttl_s
    return 1 - (1 - math.exp(-x)) / x if x > 1e-9 else x / 2


def predicted(reads_of_key, changes_of_key, seconds, ttl_s):
    """The formula over all keys, weighted by their reads; only changes past Candor count (its own invalidate)."""
    reads = sum(reads_of_key.values())
    if not reads:
        return None
    return sum(n * stale_fraction_of_ttl(changes_of_key.get(k, 0) / seconds, ttl_s) for k, n in reads_of_key.items()) / reads


def percent(part, whole):
    return "-" if not whole or part is None else f"{100 * part / whole:.1f} %"


def tiers(before, after, feature):
    counts = {}
    for tier in ("l1", "l2", "origin"):
        now = total(after, "candor_reads_total", feature=feature, tier=tier)
        counts[tier] = None if now is None else now - (total(before, "candor_reads_total", feature=feature, tier=tier) or 0)
    return counts


def measured(after, feature):
    """(text, fraction or None) from the monitor's own counters, where there are any."""
    checked = total(after, "candor_checked_reads_total", feature=feature)
    if not checked:
        return "not measured", None
    stale = total(after, "candor_stale_reads_total", feature=feature) or 0
    return f"{100 * stale / checked:.3f} % of {checked:.0f}", stale / checked


def verdict(fraction, budget):
    if fraction is None or not budget:
        return "not judged"
    return "kept" if fraction <= budget["stale_fraction"] else "missed"


def budget_text(budget):
    if not budget:
        return "none"
    return f"{100 * budget['stale_fraction']:g} % > {budget['max_staleness']}"


def rows(load, direct, before, after, features, ttl_of):
    for name, seen in load["features"].items():
        if name not in features:
            continue
        counts = tiers(before, after, name)
        whole = sum(v for v in counts.values() if v is not None)
        prefix = "s" if name == "session" else ""
        reads_of_key = {f"{prefix}{i}": n for i, n in enumerate(seen.get("reads_of_key", [])) if n}
        changes = direct.get(name, {})
        guess = predicted(reads_of_key, changes, load["seconds"], ttl_of(name)) if reads_of_key else 0.0
        text, fraction = measured(after, name)
        budget = features[name].get("budget")
        yield [name, f"{seen['reads']:,}", *(percent(counts[t], whole) for t in ("l1", "l2", "origin")),
               percent(seen["absent"], seen["reads"]), str(seen["read_errors"] + seen["write_errors"]),
               f"{seen['writes']:,}", f"{sum(changes.values()):,}", "-" if guess is None else f"{100 * guess:.3f} %", text,
               budget_text(budget), verdict(fraction, budget)]


HEAD = ["feature", "reads", "l1", "l2", "origin", "absent", "errors", "writes", "direct", "predicted*", "measured",
        "budget", "verdict"]


def table(body):
    widths = [max(len(r[i]) for r in [HEAD, *body]) for i in range(len(HEAD))]
    left = {0, 10, 11, 12}
    for row in [HEAD, *body]:
        yield "  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()


def render(load, direct, before, after, features, ttl_of):
    lines = [f"{load['reads']:,} reads in {load['seconds']:.1f} s ({load['reads'] / load['seconds']:,.0f}/s), "
             f"p50 {load['p50_us']} us, p99 {load['p99_us']} us (seen by the clients, on this machine)", ""]
    lines += table(list(rows(load, direct, before, after, features, ttl_of)))
    lines += ["", "l1, l2, origin: where reads were answered. direct: changes written to SQLite past Candor.",
              "budget: the share of reads that may be staler than the time named.",
              "* the simple ttl formula 1 - (1 - e^(-uT))/(uT) for stale reads of any age, u from the direct changes counted",
              "  in this run; it is a model, not a measurement, and it is not what the budget asks (staler than a limit)."]
    for name, seen in load["features"].items():
        if seen["last_error"]:
            lines.append(f"last error of {name}: {seen['last_error']}")
    if load["lost"]:
        lines.append(f"{load['lost']} requests were lost with their connection: {load['last_loss']}")
    return "\n".join(lines)
