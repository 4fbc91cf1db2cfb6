"""The demo's report: what each feature's readers got, and what is known about how stale it was.

Nothing is invented: what nothing measured says `not measured`, and a feature without a budget is `not judged`.
"""
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


def percent(part, whole):
    return "-" if not whole or part is None else f"{100 * part / whole:.1f} %"


def tiers(before, after, feature):
    counts = {}
    for tier in ("l1", "l2", "origin"):
        now = total(after, "candor_reads_total", feature=feature, tier=tier)
        counts[tier] = None if now is None else now - (total(before, "candor_reads_total", feature=feature, tier=tier) or 0)
    return counts


def share(fraction):
    return f"{100 * fraction:.3g} %" if abs(fraction) >= 1e-9 else "0 %"


def predicted(budget):
    known = budget and budget["predicted"]
    return share(known["over_limit"]) if known else "not known"


def measured(budget, way):
    """The fraction of reads staler than the limit over the budget's window, its 95 % interval, and how many reads were judged."""
    found = budget and budget["measured"][f"by_{way}_window"]
    if not found:
        return "not measured"
    return f"{share(found['stale_fraction'])} ({share(found['low'])} to {share(found['high'])}) of {found['reads']:.0f}"


def budget_text(budget):
    if not budget:
        return "none"
    return f"{100 * budget['stale_fraction']:g} % > {budget['max_staleness']}"


def rows(load, direct, before, after, features, budgets):
    of_feature = {one["feature"]: one for one in budgets}
    for name, seen in load["features"].items():
        if name not in features:
            continue
        counts = tiers(before, after, name)
        whole = sum(v for v in counts.values() if v is not None)
        changes = direct.get(name, {})
        budget = of_feature.get(name)
        yield [name, f"{seen['reads']:,}", *(percent(counts[t], whole) for t in ("l1", "l2", "origin")),
               percent(seen["absent"], seen["reads"]), str(seen["read_errors"] + seen["write_errors"]),
               f"{seen['writes']:,}", f"{sum(changes.values()):,}", budget_text(features[name].get("budget")), predicted(budget),
               measured(budget, "stream"), measured(budget, "origin"), budget["verdict"] if budget else "not judged"]


HEAD = ["feature", "reads", "l1", "l2", "origin", "absent", "errors", "writes", "direct", "budget", "predicted", "by stream",
        "by origin", "verdict"]


def table(body):
    widths = [max(len(r[i]) for r in [HEAD, *body]) for i in range(len(HEAD))]
    left = {0, 9, 11, 12, 13}
    for row in [HEAD, *body]:
        yield "  ".join(c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip()


def render(load, direct, before, after, features, budgets):
    lines = [f"{load['reads']:,} reads in {load['seconds']:.1f} s ({load['reads'] / load['seconds']:,.0f}/s), "
             f"p50 {load['p50_us']} us, p99 {load['p99_us']} us (seen by the clients, on this machine)", ""]
    lines += table(list(rows(load, direct, before, after, features, budgets)))
    lines += ["", "l1, l2, origin: where reads were answered. direct: changes written to SQLite past Candor.",
              "budget: the share of reads that may be staler than the time named; predicted: that share, by the model (docs/budgets.md).",
              "by stream, by origin: that share as measured, its 95 % interval, reads judged; outside: even the interval's lower end is over."]
    for name, seen in load["features"].items():
        if seen["last_error"]:
            lines.append(f"last error of {name}: {seen['last_error']}")
    if load["lost"]:
        lines.append(f"{load['lost']} requests were lost with their connection: {load['last_loss']}")
    return "\n".join(lines)
